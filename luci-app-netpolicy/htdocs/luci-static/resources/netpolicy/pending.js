'use strict';
'require baseclass';
'require ui';
'require dom';
'require netpolicy.door as door';
'require netpolicy.confirmation as confirmation';
'require netpolicy.parts as parts';
'require netpolicy.picture as picture';

/*
 * One change from its start to its end: follows it, counts down, confirms it or lets a person do so.
 *
 * The service decides; when this page goes away the change is taken back at its deadline.
 */

/* Between two looks: quick while it is being made, because the token has to be here before the switch. */
var MAKING_SECONDS = 0.3;
var WAITING_SECONDS = 1;
var LOOK_SECONDS = 4;
var LONGER_SECONDS = 120;
var LONGEST_SECONDS = 3600;
var LOOKED_THROUGH = 50;

var OVER = [ 'unchanged', 'refused', 'committed', 'reverted', 'rescue' ];

/* How the outcome that a guard left behind ends a change. */
var OUTCOMES = { confirmed: 'committed', reverted: 'reverted', fallback: 'reverted', rescue: 'rescue' };

/* `isAlone`: confirm without being told to. `addresses`: others of the router. `done(change)`: it is over. */
function Follower(id, isAlone, addresses, done) {
	this.id = id;
	this.isAlone = isAlone;
	this.addresses = addresses;
	this.done = done;
	this.change = { id: id, state: 'planning' };
	this.token = '';
	this.deadline = 0;
	this.attempts = null;
	this.node = this.render();
}

function now() {
	return window.performance.now() / 1000;
}

Follower.prototype.button = function(title, kind, handler) {
	return E('button', {
		'class': 'cbi-button ' + kind, 'click': ui.createHandlerFn(this, handler)
	}, [ title ]);
};

Follower.prototype.render = function() {
	this.state = E('strong', { 'role': 'status' }, [ '' ]);
	this.left = E('span', { 'role': 'timer', 'style': 'font-size: 200%' }, [ '' ]);
	this.why = E('div', { 'role': 'status', 'style': 'overflow-wrap: anywhere' }, [ '' ]);
	this.elsewhere = E('div', {});
	this.buttons = E('div', { 'style': 'display: flex; flex-wrap: wrap; gap: .5em; margin-top: .5em' }, [
		this.button(_('Confirm now'), 'cbi-button-positive', this.confirm),
		this.button(_('Wait longer'), 'cbi-button-neutral', this.extend),
		this.button(_('Take back'), 'cbi-button-negative', this.abort),
		this.button(_('Open this page anew'), 'cbi-button-neutral', function() { window.location.reload(); })
	]);
	this.buttons.style.display = 'none';

	return parts.box('warning', [ this.state, E('div', {}, [ this.left ]), this.why, this.elsewhere, this.buttons ]);
};

Follower.prototype.told = function(words) {
	dom.content(this.why, [ words ? words : '' ]);
	dom.content(this.elsewhere, ((this.attempts || {}).answering || []).map(function(address) {
		return E('div', {}, [ _('The router answers at another address:'), ' ',
			E('a', { 'href': door.page(address), 'rel': 'noreferrer' }, [ address ]) ]);
	}));
};

/* Looks until the change is over. */
Follower.prototype.follow = function() {
	return this.look().then(L.bind(function() {
		if (OVER.indexOf(this.change.state) >= 0)
			return this.end();

		window.setTimeout(L.bind(this.follow, this),
			(this.change.state == 'await' ? WAITING_SECONDS : MAKING_SECONDS) * 1000);
	}, this));
};

/* Counts by itself: the router may be silent. */
Follower.prototype.tick = function() {
	if (OVER.indexOf(this.change.state) >= 0)
		return;

	this.show();
	window.setTimeout(L.bind(this.tick, this), WAITING_SECONDS * 1000);
};

Follower.prototype.look = function() {
	return door.call('netpolicy', 'job', { id: this.id }, LOOK_SECONDS)
		.then(L.bind(this.take, this), L.bind(this.lost, this));
};

Follower.prototype.take = function(change) {
	if (OVER.indexOf(this.change.state) >= 0)
		return;

	if (change.state != this.change.state)
		dom.content(this.why, []);

	this.change = change;
	this.token = change.token || this.token;

	if (change.seconds_left !== null && change.seconds_left !== undefined)
		this.deadline = now() + change.seconds_left;

	this.show();

	if (change.state == 'await' && this.isAlone)
		this.begin();
};

/* Perhaps the change is in force and this address is what it costs: then another one may do. */
Follower.prototype.unheard = function() {
	if (!this.attempts)
		this.told(_('The router does not answer. Unless the change is confirmed it is taken back, and this page goes on.'));

	if (this.isAlone)
		this.begin();
};

/* Another service than the one that began it: the journal says what became of it. */
Follower.prototype.lost = function(error) {
	if (error.kind == 'silent')
		this.unheard();
	else if (error.kind == 'denied')
		this.told(error.message);

	if (error.kind != 'unknown')
		return;

	return door.call('netpolicy', 'history', { limit: LOOKED_THROUGH }, LOOK_SECONDS).then(L.bind(function(found) {
		parts.list(found.entries).forEach(L.bind(function(row) {
			var whose = row.id || String(row.detail || '').split(' ')[0],
			    state = OUTCOMES[row.outcome] || row.outcome;

			if (whose == this.id && OVER.indexOf(state) >= 0)
				this.change = { id: this.id, state: state, error: row.reason || row.detail, generation: row.generation };
		}, this));
	}, this)).catch(function() {});
};

Follower.prototype.show = function() {
	var waits = this.change.state == 'await',
	    left = Math.max(0, Math.ceil(this.deadline - now())),
	    words = left ? _('%d seconds until it is taken back').format(left) : _('The time is over; the router takes it back.');

	dom.content(this.state, [ picture.stateWords(this.change.state) ]);
	dom.content(this.left, [ waits ? words : '' ]);
	this.buttons.style.display = waits ? 'flex' : 'none';
};

Follower.prototype.end = function() {
	if (this.attempts)
		this.attempts.stop();

	this.token = '';
	this.done(this.change);
};

/* -- what a person, or the page by itself, does -- */

Follower.prototype.begin = function() {
	if (this.attempts || !this.token)
		return;

	this.attempts = confirmation.attempts(this.token, this.addresses, L.bind(this.told, this));
	this.attempts.go().then(L.bind(function(change) {
		if (change)
			this.take(change);
	}, this));
};

Follower.prototype.confirm = function() {
	if (!this.attempts)
		return this.begin();

	return this.attempts.once().then(L.bind(function(change) {
		if (change)
			this.take(change);
	}, this));
};

Follower.prototype.extend = function() {
	var seconds = Math.min(LONGEST_SECONDS, Math.ceil(this.deadline - now()) + LONGER_SECONDS);

	return this.act('extend', { id: this.id, seconds: seconds });
};

Follower.prototype.abort = function() {
	if (this.attempts)
		this.attempts.stop();

	return this.act('abort', { id: this.id });
};

Follower.prototype.act = function(method, asked) {
	return door.call('netpolicy', method, asked).then(L.bind(function(change) {
		this.take(change);
		this.show();
	}, this), L.bind(function(error) {
		this.told(error.message);
	}, this));
};

return baseclass.extend({
	/* Begins to follow; the returned `node` shows it. */
	follow: function(id, isAlone, addresses, done) {
		var follower = new Follower(id, isAlone, addresses, done);

		follower.tick();
		follower.follow();

		return follower;
	}
});
