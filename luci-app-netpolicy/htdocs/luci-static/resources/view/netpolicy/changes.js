'use strict';
'require view';
'require dom';
'require ui';
'require netpolicy.door as door';
'require netpolicy.parts as parts';
'require netpolicy.pending as pending';
'require netpolicy.picture as picture';

/*
 * The guarded apply: what would change, the change under way, what was changed before.
 *
 * Asks the ubus object `netpolicy` and decides nothing. An apply is bound to the plan that is
 * shown, and `force` is offered only after a refusal. A change that this page did not begin is
 * never confirmed without a person.
 */

var HISTORY_ROWS = 50;

var list = parts.list, text = parts.text;

function call(method, asked) {
	return door.call('netpolicy', method, asked || {});
}

function labelled(title, input) {
	return E('div', { 'class': 'cbi-value' }, [
		E('label', { 'class': 'cbi-value-title' }, [ title ]),
		E('div', { 'class': 'cbi-value-field' }, [ input ])
	]);
}

function checkbox(title, isOn) {
	var input = E('input', { 'type': 'checkbox' });

	input.checked = isOn;

	return { input: input, node: E('label', { 'style': 'display: block' }, [ input, ' ', title ]) };
}

function section(title, children) {
	return E('div', { 'class': 'cbi-section' }, [ E('h3', {}, [ title ]) ].concat(children));
}

function isSomething(plan) {
	return list(plan.changes).length > 0 || list(plan.rules).length > 0 || plan.unchanged === false;
}

return view.extend({
	/* Nothing here waits for a rehearsal: the page comes first, the plan when it is there. */
	load: function() {
		return call('status').then(function(status) {
			return { status: status };
		}, function(error) {
			return { error: error };
		});
	},

	button: function(title, kind, handler) {
		return E('button', { 'class': 'cbi-button ' + kind, 'click': ui.createHandlerFn(this, handler) }, [ title ]);
	},

	complain: function(error) {
		ui.addNotification(null, E('p', {}, [ text(error.message || error) ]), 'error');
	},

	/* -- the plan ------------------------------------------------------------------------- */

	makePlan: function() {
		dom.content(this.nodes.plan, [ E('em', {}, [ _('Planning and rehearsing …') ]) ]);
		this.nodes.apply.disabled = true;

		return call('plan').then(L.bind(function(plan) {
			if (plan.error)
				throw new Error(plan.error);

			this.plan = plan;
			dom.content(this.nodes.plan, [ picture.plan(plan) ]);
			this.nodes.apply.disabled = !isSomething(plan);
		}, this)).catch(L.bind(function(error) {
			dom.content(this.nodes.plan, [ parts.box('error', [ text(error.message) ]) ]);
		}, this));
	},

	offerForce: function(isOffered) {
		this.force.input.checked = false;
		this.force.node.style.display = isOffered ? 'block' : 'none';
	},

	asked: function() {
		var asked = { message: this.nodes.message.value || '' },
		    seconds = parseInt(this.nodes.seconds.value, 10);

		if (seconds > 0)
			asked.confirm = seconds;

		if (this.force.input.checked)
			asked.force = true;

		return asked;
	},

	apply: function() {
		return this.start('apply', Object.assign(this.asked(), { plan: (this.plan || {}).hash || '' }));
	},

	rollback: function(number) {
		return this.start('rollback', Object.assign(this.asked(), { generation: number }));
	},

	start: function(method, asked) {
		var outside = list((this.status || {}).outbounds).map(function(outbound) { return outbound.device; });

		dom.content(this.nodes.pending, []);

		/* Asked now: when the change locks out, nobody can be asked. */
		return door.addresses(outside).then(L.bind(function(addresses) {
			return call(method, asked).then(L.bind(function(answer) {
				this.follow(answer.job, this.alone.input.checked, addresses);
			}, this));
		}, this)).catch(L.bind(this.complain, this));
	},

	/* -- the change under way ------------------------------------------------------------- */

	follow: function(id, isAlone, addresses) {
		this.nodes.ask.style.display = 'none';
		dom.content(this.nodes.pending, [ pending.follow(id, isAlone, addresses, L.bind(this.ended, this)).node ]);
		window.scrollTo(0, 0);
	},

	ended: function(change) {
		var isBroken = change.state == 'refused' && list((change.rehearsal || {}).rows).some(function(row) {
			return row.ok === false;
		});

		dom.content(this.nodes.pending, [ picture.ended(change), isBroken ? picture.rehearsal(change.rehearsal) : '' ]);
		this.nodes.ask.style.display = '';
		this.offerForce(isBroken);

		return this.refresh();
	},

	/* -- what was ------------------------------------------------------------------------- */

	refresh: function() {
		return Promise.all([ this.makePlan(), this.showHistory(), this.showDrift() ]);
	},

	showHistory: function() {
		return Promise.all([ call('history', { limit: HISTORY_ROWS }), call('verify') ]).then(L.bind(function(found) {
			dom.content(this.nodes.history, [ picture.verified(found[1]), picture.history(found[0]) ]);
			dom.content(this.nodes.generations, [ this.generations(found[0]) ]);
		}, this)).catch(L.bind(function(error) {
			dom.content(this.nodes.history, [ parts.box('warning', [ text(error.message) ]) ]);
		}, this));
	},

	generations: function(found) {
		return parts.table([ _('Generation'), _('State'), '' ], list(found.generations).slice().reverse().map(L.bind(function(number) {
			var isCurrent = number == found.current,
			    shown = E('div', {}),
			    buttons = [ this.button(_('Difference'), 'cbi-button-neutral', L.bind(this.difference, this, number, shown)) ];

			if (!isCurrent && this.mayAct)
				buttons.push(' ', this.button(_('Go back to it'), 'cbi-button-negative', L.bind(this.rollback, this, number)));

			return [ text(number), isCurrent ? parts.badge(true, _('confirmed')) : '–', buttons.concat([ shown ]) ];
		}, this)), _('No generation is kept.'));
	},

	/* What going back to it would do to the rules in force. */
	difference: function(number, node) {
		return call('diff', { from: 0, to: number }).then(function(found) {
			dom.content(node, [ parts.lines(list(found.text).length ? found.text : [ _('No rule changes.') ]) ]);
		}).catch(L.bind(this.complain, this));
	},

	showDrift: function() {
		return call('drift').then(L.bind(function(found) {
			dom.content(this.nodes.drift, [
				picture.drift(found),
				found.is_there && this.mayAct ? this.button(_('Put right'), 'cbi-button-apply', this.heal) : ''
			]);
		}, this)).catch(L.bind(function(error) {
			dom.content(this.nodes.drift, [ parts.box('warning', [ text(error.message) ]) ]);
		}, this));
	},

	heal: function() {
		return call('heal').then(L.bind(function(answer) {
			if (!answer.ok)
				this.complain({ message: answer.error });

			return this.showDrift();
		}, this)).catch(L.bind(this.complain, this));
	},

	/* -- the page ------------------------------------------------------------------------- */

	render: function(answer) {
		var nodes, pendingNow;

		this.status = answer.status;
		this.mayAct = L.hasViewPermission() === true;
		this.alone = checkbox(_('Confirm by itself as soon as a new connection gets through'), true);
		this.force = checkbox(_('Apply in spite of the refusal: I know another way to this router'), false);
		nodes = this.nodes = {
			pending: E('div', {}),
			plan: E('div', {}),
			message: E('input', { 'type': 'text', 'class': 'cbi-input-text', 'maxlength': '400', 'aria-label': _('Why') }),
			seconds: E('input', {
				'type': 'number', 'class': 'cbi-input-text', 'min': '10', 'max': '3600',
				'aria-label': _('Seconds to confirm'), 'placeholder': _('by the risk')
			}),
			apply: this.button(_('Apply'), 'cbi-button-apply', this.apply),
			history: E('div', {}), generations: E('div', {}), drift: E('div', {})
		};

		nodes.ask = E('div', {}, [
			section(_('What would change'), [ nodes.plan, this.button(_('Plan anew'), 'cbi-button-neutral', this.makePlan) ]),
			this.mayAct ? section(_('Apply'), [
				labelled(_('Why'), nodes.message), labelled(_('Seconds to confirm'), nodes.seconds),
				this.alone.node, this.force.node, nodes.apply
			]) : ''
		]);
		this.offerForce(false);

		if (answer.error)
			dom.content(nodes.pending, [ parts.box('error', [ text(answer.error.message) ]) ]);

		pendingNow = (answer.status || {}).pending;

		if (pendingNow && this.mayAct)
			this.follow(pendingNow.id, false, []);
		else
			this.makePlan();

		this.showHistory();
		this.showDrift();

		return E('div', {}, [
			E('h2', {}, [ _('Changes') ]), nodes.pending, nodes.ask,
			section(_('Generations'), [ nodes.generations ]),
			section(_('Drift'), [ nodes.drift ]),
			section(_('History'), [ nodes.history ])
		]);
	},

	handleSave: null,
	handleSaveApply: null,
	handleReset: null
});
