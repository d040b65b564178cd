'use strict';
'require baseclass';
'require netpolicy.door as door';

/*
 * One attempt after the other to confirm a change by a new connection, until one is believed.
 *
 * Judges nothing: the service looks at its own connections and refuses with words, which are
 * shown. The token stays in memory and goes nowhere but into the call.
 */

var PAUSE_SECONDS = 2;
var OLD_CONNECTION_SECONDS = 4;

function wait(seconds) {
	return new Promise(function(resolve) { window.setTimeout(resolve, seconds * 1000); });
}

/* `addresses`: others of this router; `told(words)`: why it is not confirmed yet. */
function Attempts(token, addresses, told) {
	this.token = token;
	this.addresses = addresses;
	this.told = told;
	this.words = '';
	this.answering = [];
	this.ended = false;
}

/* Tries until it is confirmed, or `stop`. Resolves to the change, or null. */
Attempts.prototype.go = function() {
	if (this.ended)
		return Promise.resolve(null);

	return this.once().then(L.bind(function(change) {
		return change || wait(PAUSE_SECONDS).then(L.bind(this.go, this));
	}, this));
};

Attempts.prototype.stop = function() {
	this.ended = true;
};

/* One attempt: the change when it is confirmed, else null. */
Attempts.prototype.once = function() {
	return door.callAnew('netpolicy', 'confirm', { id: this.token }).catch(L.bind(function(error) {
		this.words = _('Not confirmed yet: %s').format(
			error.kind == 'silent' ? _('no new connection to this address gets through') : error.message);
		this.told(this.words);

		if (error.kind == 'silent')
			return this.elsewhere();

		return error.kind == 'refused' ? this.prepare() : null;
	}, this));
};

/* It was heard and not believed: the next attempt shall come by a new connection. */
Attempts.prototype.prepare = function() {
	return Promise.all([ door.hangUp(), this.knock() ]).then(function() { return null; });
};

Attempts.prototype.knock = function() {
	return door.knock(this.addresses).then(L.bind(function(found) {
		this.answering = found;
		this.told(this.words);

		return found;
	}, this));
};

/* The router answers nobody anew at this address; perhaps at another one. */
Attempts.prototype.elsewhere = function() {
	return this.knock().then(L.bind(function(found) {
		var asked = { id: this.token };

		if (!found.length || this.ended)
			return null;

		/* The new connection is there; the word may come by an old one. */
		return door.call('netpolicy', 'confirm', asked, OLD_CONNECTION_SECONDS).catch(function(error) {
			if (error.kind != 'silent')
				return null;

			return door.callBlindly(found[0], 'netpolicy', 'confirm', asked).then(function() { return null; });
		});
	}, this));
};

return baseclass.extend({
	attempts: function(token, addresses, told) {
		return new Attempts(token, addresses, told);
	}
});
