'use strict';
'require view';
'require rpc';
'require poll';
'require dom';
'require ui';
'require netpolicy.parts as parts';

/*
 * The overview: what the engine does now and which connection takes which way.
 *
 * Asks the ubus object `netpolicy` and shows its answers; decides nothing itself.
 * Every text that comes from the service goes into the page as a text node: children are
 * always given as arrays, because LuCI takes a bare string for HTML.
 */

var POLL_SECONDS = 5;
var PAGE_SIZE = 50;

var list = parts.list, text = parts.text, words = parts.words, table = parts.table, badge = parts.badge, box = parts.box;

/* JSON-RPC codes of uhttpd's /ubus door, as they appear in LuCI's error texts. */
var ACCESS_DENIED = /access denied|-32002/i;

/* `reject` turns a ubus status into an error; older LuCI ignores it and answers the number. */
var callStatus = rpc.declare({ object: 'netpolicy', method: 'status', reject: true });
var callRules = rpc.declare({ object: 'netpolicy', method: 'rules', reject: true });
var callConnections = rpc.declare({
	object: 'netpolicy', method: 'connections', params: [ 'limit', 'offset', 'filter' ], reject: true
});
var callReload = rpc.declare({ object: 'netpolicy', method: 'reload', reject: true });
var callServiceList = rpc.declare({ object: 'service', method: 'list', params: [ 'name' ], reject: true });

function requireTable(reply) {
	if (reply === null || typeof(reply) != 'object')
		throw new Error(_('The service answered with ubus status %s.').format(String(reply)));

	return reply;
}

function count(value) {
	return String(value || 0);
}

function bytes(value) {
	var units = [ 'B', 'KiB', 'MiB', 'GiB', 'TiB' ],
	    size = Number(value) || 0,
	    unit = 0;

	while (size >= 1024 && unit < units.length - 1) {
		size /= 1024;
		unit++;
	}

	return (unit ? size.toFixed(1) : String(size)) + ' ' + units[unit];
}

function endpoint(address, port) {
	if (port === null || port === undefined || port === '')
		return text(address);

	return (String(address).indexOf(':') >= 0 ? '[' + address + ']' : address) + ':' + port;
}

function renderWarnings(status) {
	var boxes = list(status.warnings).map(function(warning) {
		return box('warning', [
			E('strong', {}, [ text(warning.code) ]), ' ', text(warning.message),
			warning.hint ? E('div', {}, [ warning.hint ]) : ''
		]);
	});
	var config = status.config || {};

	if (config.error)
		boxes.unshift(box('error', [
			E('strong', {}, [ _('The configuration was not accepted; the previous one stays in force.') ]),
			E('div', {}, [ text(config.file), ': ', config.error ])
		]));

	return E('div', {}, boxes);
}

function modeWords(status) {
	if (status.enabled === false)
		return _('disabled in the configuration');

	return status.mode == 'enforce' ? _('enforcing') : _('observing only, nothing is changed');
}

function kernelWords(kernel) {
	return kernel.in_sync
		? _('equal to the rules (revision %s)').format(text(kernel.revision))
		: _('differs from the rules');
}

function renderState(status) {
	var kernel = status.kernel || {},
	    rules = status.rules || {},
	    inspector = status.inspector || {},
	    enforcing = status.mode == 'enforce' && status.enabled !== false,
	    rows = [
		[ _('State'), [ badge(status.state == 'NORMAL', text(status.state)) ] ],
		[ _('Mode'), [ badge(enforcing, modeWords(status)) ] ]
	];

	if (enforcing)
		rows.push([ _('Kernel'), [ badge(kernel.in_sync, kernelWords(kernel)) ] ]);

	rows.push(
		[ _('Rules'), _('%d of %d active').format(rules.active || 0, rules.total || 0) ],
		[ _('Inspector'), words(text(inspector.tier) + (inspector.reason ? ' (' + inspector.reason + ')' : '')) ],
		[ _('Version'), text(status.version) ]
	);

	if (status.pending)
		rows.push([ _('Change'), _('An applied change waits for confirmation.') ]);

	list(rules.skipped).forEach(function(rule) {
		rows.push([ _('Skipped rule'), [ E('strong', {}, [ words(rule.name) ]), ' ', words(rule.error) ] ]);
	});

	return E('table', { 'class': 'table' }, rows.map(function(row) {
		return E('tr', { 'class': 'tr' }, [
			E('td', { 'class': 'td left', 'width': '33%' }, [ row[0] ]),
			E('td', { 'class': 'td left' }, Array.isArray(row[1]) ? row[1] : [ row[1] ])
		]);
	}));
}

/* What probes say of a line: nothing is said where there are none. */
function healthWords(health) {
	if (!health || !health.state)
		return [ '-' ];

	var told = [];

	if (typeof(health.latency_ms) == 'number')
		told.push(_('%s ms').format(String(Math.round(health.latency_ms))));
	if (typeof(health.loss) == 'number')
		told.push(_('loss %s').format(Math.round(health.loss * 100) + ' %'));
	if (health.by_hand && health.by_hand != 'auto')
		told.push(_('set to %s by hand').format(text(health.by_hand)));

	return [ badge(health.state == 'NORMAL', text(health.state)) ].concat(
		told.length ? [ ' ', told.join(', ') ] : [],
		health.because ? [ E('div', {}, [ words(health.because) ]) ] : []);
}

function renderOutbounds(status) {
	return table(
		[ _('Outbound'), _('Type'), _('State'), _('Reason'), _('Health'), _('Device'), _('Gateway') ],
		list(status.outbounds).map(function(outbound) {
			return [
				words(outbound.name),
				text(outbound.type),
				badge(outbound.up, outbound.up ? _('up') : _('down')),
				words(outbound.reason),
				healthWords(outbound.health),
				words(outbound.device),
				words([ outbound.gateway, outbound.gateway6 ].filter(Boolean).join(', '))
			];
		}),
		_('No outbound is configured.'));
}

function ruleState(rule) {
	if (!rule.enabled)
		return badge(false, _('switched off'));

	return badge(rule.active, rule.active ? _('active') : _('not active now'));
}

function enforcedWords(rule) {
	return rule.enforced == 'kernel' ? _('in the kernel, from the first packet') : text(rule.enforced);
}

/* The order in which they are asked: highest priority first, equal ones as the service lists them. */
function ranked(rules) {
	return rules.map(function(rule, index) {
		return { rule: rule, index: index };
	}).sort(function(a, b) {
		return (Number(b.rule.priority) || 0) - (Number(a.rule.priority) || 0) || a.index - b.index;
	}).map(function(entry) {
		return entry.rule;
	});
}

/* Thousands of rules come in pages; here is the first. */
function renderRules(answer) {
	var rules = list(answer.rules),
	    total = Number(answer.total) || rules.length,
	    shown = renderRuleTable(ranked(rules));

	if (total <= rules.length)
		return shown;

	return E('div', {}, [ E('p', {}, [ _('%d of %d rules').format(rules.length, total) ]), shown ]);
}

function renderRuleTable(rules) {
	return table(
		[ _('Priority'), _('Rule'), _('Matches'), _('Action'), _('State'), _('Enforced'), _('Hits'), _('Traffic') ],
		rules.map(function(rule) {
			return [
				text(rule.priority),
				[ E('strong', {}, [ words(rule.title || rule.name) ]), rule.log ? ' ' + _('(logged)') : '' ],
				words(rule.match),
				words(rule.action),
				ruleState(rule),
				words(enforcedWords(rule)),
				count(rule.hits),
				bytes(rule.bytes)
			];
		}),
		_('No rule is configured.'));
}

function renderConnections(connections) {
	return table(
		[ _('Protocol'), _('Source'), _('Destination'), _('Rule'), _('Outbound'), _('Traffic'), _('State') ],
		connections.map(function(flow) {
			return [
				text(flow.protocol),
				words(endpoint(flow.src, flow.src_port)),
				words(endpoint(flow.dest, flow.dest_port)),
				flow.rule ? words(flow.rule) : E('em', {}, [ _('no rule') ]),
				[ words(flow.outbound), flow.agrees === false ? ' ' : '',
				  flow.agrees === false ? badge(false, _('the rules now say otherwise')) : '' ],
				bytes(flow.bytes),
				text(flow.state)
			];
		}),
		_('No connection to show.'));
}

/* `service` is procd's entry: absent when stopped, without instances when switched off. */
function reasonOf(service) {
	if (!service)
		return _('It was stopped. "/etc/init.d/netpolicy start" starts it.');

	if (!Object.keys(service.instances || {}).length)
		return _('It starts when the option "enabled" in /etc/config/netpolicy is 1.');

	return _('It should run, but does not answer. The system log says why.');
}

function renderFailure(error, service) {
	/* LuCI appends where in its own code the error was raised. */
	var words = String((error && error.message) || error).split('\n')[0];

	if (ACCESS_DENIED.test(words))
		return box('error', [
			E('strong', {}, [ _('You are not allowed to see this.') ]),
			E('div', {}, [ _('After an installation or a change of permissions log out and log in again.') ])
		]);

	return box('warning', [
		E('strong', {}, [ _('The NetPolicy service is not running.') ]),
		E('div', {}, [ reasonOf(service) ]),
		E('div', {}, [ words ])
	]);
}

return view.extend({
	offset: 0,
	filter: '',

	load: function() {
		return this.ask();
	},

	/* One answer for everything, also when the service is not there: the page says so itself. */
	ask: function() {
		return Promise.all([
			callStatus().then(requireTable),
			callRules().then(requireTable),
			callConnections(PAGE_SIZE, this.offset, this.filter).then(requireTable)
		]).then(function(replies) {
			return { status: replies[0], rules: replies[1], connections: replies[2] };
		}).catch(function(error) {
			return callServiceList('netpolicy').catch(function() {
				return {};
			}).then(function(services) {
				return { error: error, service: (services || {}).netpolicy };
			});
		});
	},

	refresh: function() {
		return this.ask().then(L.bind(this.show, this));
	},

	show: function(answer) {
		if (answer.error) {
			dom.content(this.nodes.notes, renderFailure(answer.error, answer.service));
			this.nodes.body.style.display = 'none';
			return;
		}

		this.nodes.body.style.display = '';
		dom.content(this.nodes.notes, renderWarnings(answer.status));
		dom.content(this.nodes.state, renderState(answer.status));
		dom.content(this.nodes.outbounds, renderOutbounds(answer.status));
		dom.content(this.nodes.rules, renderRules(answer.rules));
		this.showConnections(answer.connections);
	},

	showConnections: function(answer) {
		var shown = list(answer.connections),
		    total = Number(answer.total) || 0;

		dom.content(this.nodes.connections, renderConnections(shown));
		dom.content(this.nodes.range, [ shown.length
			? _('%d to %d of %d').format(this.offset + 1, this.offset + shown.length, total)
			: _('none of %d').format(total) ]);
		this.nodes.previous.disabled = this.offset == 0;
		this.nodes.next.disabled = this.offset + shown.length >= total;
	},

	turn: function(pages) {
		this.offset = Math.max(0, this.offset + pages * PAGE_SIZE);
		return this.refresh();
	},

	search: function(ev) {
		this.filter = ev.target.value.trim();
		this.offset = 0;
		return this.refresh();
	},

	reload: function() {
		return callReload().then(requireTable).then(L.bind(function(reply) {
			if (!reply.ok)
				ui.addNotification(null, E('p', {}, [ _('Reload refused: %s').format(text(reply.error)) ]), 'error');

			return this.refresh();
		}, this)).catch(function(error) {
			ui.addNotification(null, E('p', {}, [ _('Reload failed: %s').format(error.message || error) ]), 'error');
		});
	},

	button: function(title, handler) {
		return E('button', { 'class': 'cbi-button', 'click': ui.createHandlerFn(this, handler) }, [ title ]);
	},

	render: function(answer) {
		var nodes = this.nodes = {
			notes: E('div', {}),
			state: E('div', {}),
			outbounds: E('div', {}),
			rules: E('div', {}),
			connections: E('div', {}),
			range: E('span', { 'style': 'margin: 0 1em' }),
			previous: this.button(_('Previous'), L.bind(this.turn, this, -1)),
			next: this.button(_('Next'), L.bind(this.turn, this, 1)),
			filter: E('input', {
				'type': 'text', 'class': 'cbi-input-text', 'placeholder': _('Filter'),
				'aria-label': _('Filter'), 'change': L.bind(this.search, this)
			})
		};

		/* A login with the read group alone may look, not act. */
		var acts = L.hasViewPermission()
			? [ this.button(_('Reload configuration'), L.bind(this.reload, this)) ]
			: [];

		nodes.body = E('div', {}, [
			E('div', { 'class': 'cbi-section' }, [ nodes.state ].concat(acts)),
			E('div', { 'class': 'cbi-section' }, [ E('h3', {}, [ _('Outbounds') ]), nodes.outbounds ]),
			E('div', { 'class': 'cbi-section' }, [ E('h3', {}, [ _('Rules') ]), nodes.rules ]),
			E('div', { 'class': 'cbi-section' }, [
				E('h3', {}, [ _('Live connections') ]),
				E('div', {}, [ nodes.filter, ' ', nodes.previous, nodes.range, nodes.next ]),
				nodes.connections
			])
		]);

		this.show(answer);
		poll.add(L.bind(this.refresh, this), POLL_SECONDS);

		return E('div', {}, [ E('h2', {}, [ _('Network policy') ]), nodes.notes, nodes.body ]);
	},

	handleSave: null,
	handleSaveApply: null,
	handleReset: null
});
