'use strict';
'require baseclass';
'require netpolicy.parts as parts';

/*
 * How a plan, a change, the journal, generations and drift look on a page.
 *
 * Knows documents of the service and no calls. A key that is missing shows as a dash.
 */

var list = parts.list, text = parts.text, words = parts.words;

/* The words of the protocol, in its order. */
function stateWords(state) {
	var found = {
		planning: _('reading and planning'),
		checked: _('rehearsing'),
		rehearsed: _('preparing the way back'),
		armed: _('the guard watches'),
		applying: _('changing the kernel'),
		probing: _('probing the lines'),
		await: _('in force, not confirmed yet'),
		reverting: _('being taken back'),
		unchanged: _('nothing to do: this is what is in force, and confirmed'),
		refused: _('not made'),
		committed: _('confirmed'),
		reverted: _('taken back'),
		rescue: _('rescue: only administration works')
	};

	return found[state] || text(state);
}

function riskWords(level) {
	return { none: _('none'), low: _('low'), medium: _('medium'), high: _('high') }[level] || text(level);
}

function risk(found) {
	var level = (found || {}).level || 'none';

	return E('div', {}, [
		E('p', {}, [ _('Risk'), ': ', parts.badge(level == 'none' || level == 'low', riskWords(level)) ]),
		E('ul', {}, list((found || {}).reasons).map(function(reason) {
			return E('li', {}, [ words(reason && reason.text || reason) ]);
		}))
	]);
}

function verdict(row) {
	if (row.ok === true)
		return parts.badge(true, _('as it should be'));

	return parts.badge(false, row.ok === false ? _('broken') : _('not known'));
}

/* What is broken comes first. */
function urgency(row) {
	return row.ok === false ? 0 : row.ok === true ? 2 : 1;
}

function rehearsal(found) {
	var rows, notes;

	found = found || {};
	rows = list(found.rows).slice().sort(function(a, b) { return urgency(a) - urgency(b); });
	notes = list(found.notes).map(words);

	if (found.how == 'rules')
		notes.unshift(words(_('Not tried with packets, judged by our own rules alone: %s').format(text(found.why))));

	return E('div', {}, [
		parts.table([ _('Rehearsed'), _('Before'), _('After'), _('Verdict') ], rows.map(function(row) {
			return [
				[ words(row.what), row.because ? E('div', {}, [ E('small', {}, [ words(row.because) ]) ]) : '' ],
				words(row.before), words(row.after), verdict(row)
			];
		}), _('Nothing was rehearsed.'))
	].concat(notes.map(function(note) { return E('p', {}, [ note ]); })));
}

function kernel(plan) {
	var count = list(plan.changes).length,
	    drift = list(plan.drift);

	if (!count)
		return E('p', {}, [ _('The kernel stays as it is.') ]);

	return parts.folded(_('%d changes of the kernel').format(count), [
		parts.lines(plan.changes),
		drift.length ? E('p', {}, [ _('%d of them put right what others changed of ours.').format(drift.length) ]) : ''
	]);
}

function obstacles(plan) {
	return list(plan.conflicts).map(function(conflict) {
		return parts.box('warning', [ text(conflict.message), ' ', conflict.hint ? text(conflict.hint) : '' ]);
	}).concat(list(plan.not_enforced).map(function(line) {
		return parts.box('warning', [ _('not enforced yet'), ': ', text(line) ]);
	}));
}

function plan(found) {
	return E('div', {}, [
		parts.lines(list(found.text).length ? found.text : [ _('No rule changes.') ]),
		risk(found.risk)
	].concat(obstacles(found), [ rehearsal(found.rehearsal), kernel(found) ]));
}

/* One line of the journal. */
function event(row) {
	if (row.problem)
		return _('unreadable: %s').format(row.problem);

	if (row.event == 'change')
		return text(row.cause) + ': ' + stateWords(row.outcome) + (row.reason ? ', ' + row.reason : '');

	if (row.event == 'begin')
		return text(row.cause) + ': ' + _('began');

	if (row.event == 'recovered')
		return _('found after a start') + ': ' + text(row.outcome) + ' ' + text(row.detail);

	return [ row.kind, row.event, row.cause ].filter(Boolean).join(': ');
}

/* The beginning of a change only where its end is not there. */
function history(found) {
	var over = {};

	list(found.entries).forEach(function(row) {
		if (row.event == 'change')
			over[row.id] = true;
	});

	return parts.table([ _('When'), _('What'), _('Generation'), _('Who'), _('Why') ],
		list(found.entries).filter(function(row) {
			return row.event != 'begin' || row.kind || !over[row.id];
		}).map(function(row) {
			return [ parts.moment(row.time), words(event(row)), text(row.generation), words(row.who), words(row.why) ];
		}), _('The journal is empty.'));
}

function verified(found) {
	return found.fine
		? E('p', {}, [ parts.badge(true, _('the journal is what was written')), ' ', _('%d lines').format(found.lines || 0) ])
		: parts.box('error', [ _('The journal is not what was written: %s').format(text(found.why)) ]);
}

function drift(found) {
	var last = found.last;

	if (!last)
		return E('p', {}, [ _('Nobody else changed what is ours.') ]);

	return E('div', {}, [
		E('p', {}, [
			parts.badge(!found.is_there, found.is_there ? _('it is still so') : _('put right')), ' ',
			_('%d seconds ago others changed what is ours.').format(last.seconds_ago || 0)
		]),
		parts.lines(last.changes)
	]);
}

/* What became of a change, with why. */
function ended(change) {
	var kind = { committed: 'success', unchanged: 'info' }[change.state] || 'error';

	return parts.box(kind, [
		E('strong', {}, [ stateWords(change.state) ]),
		change.generation && change.state == 'committed' ? ' ' + _('Generation %s is in force.').format(change.generation) : '',
		change.error ? E('div', {}, [ text(change.error) ]) : '',
		change.hint ? E('div', {}, [ text(change.hint) ]) : ''
	].concat(list(change.notes).map(function(note) { return E('div', {}, [ text(note) ]); })));
}

return baseclass.extend({
	plan: plan,
	rehearsal: rehearsal,
	stateWords: stateWords,
	history: history,
	verified: verified,
	drift: drift,
	ended: ended
});
