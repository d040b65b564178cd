'use strict';
'require baseclass';

/*
 * Pieces that the pages of NetPolicy are made of: texts, tables, labels, boxes.
 *
 * Knows no service. Children are always given as arrays, because LuCI takes a bare string for
 * HTML: what comes from elsewhere ends as a text node.
 */

function list(value) {
	return Array.isArray(value) ? value : [];
}

function text(value) {
	return (value === null || value === undefined || value === '') ? '–' : String(value);
}

/* A text of any length: a name of 64 letters must not push the page wider than the screen. */
function words(value) {
	return E('span', { 'style': 'overflow-wrap: anywhere' }, [ text(value) ]);
}

/* Where the theme does not fold a table for a small screen, it scrolls by itself and not the page. */
function table(titles, rows, placeholder) {
	var head = E('tr', { 'class': 'tr table-titles' }, titles.map(function(title) {
		return E('th', { 'class': 'th' }, [ title ]);
	}));

	if (!rows.length)
		rows = [ [ E('em', {}, [ placeholder ]) ] ];

	return E('div', { 'style': 'overflow-x: auto' }, [ E('table', { 'class': 'table' }, [ head ].concat(rows.map(function(cells, index) {
		return E('tr', { 'class': 'tr cbi-rowstyle-' + (1 + index % 2) }, cells.map(function(cell, column) {
			return E('td', { 'class': 'td left', 'data-title': titles[column] },
				Array.isArray(cell) ? cell : [ cell ]);
		}));
	}))) ]);
}

function badge(good, words) {
	return E('span', { 'class': good ? 'label success' : 'label warning' }, [ words ]);
}

function box(kind, parts) {
	return E('div', { 'class': 'alert-message ' + kind, 'style': 'overflow-wrap: anywhere' }, parts);
}

/* Lines as they are, in a frame that scrolls by itself. */
function lines(given) {
	return E('pre', { 'style': 'white-space: pre-wrap; overflow-wrap: anywhere' }, [ list(given).join('\n') ]);
}

function folded(title, parts) {
	return E('details', {}, [ E('summary', {}, [ title ]) ].concat(parts));
}

/* Seconds since 1970, as this browser writes a time. */
function moment(seconds) {
	return typeof(seconds) == 'number' ? new Date(seconds * 1000).toLocaleString() : '–';
}

return baseclass.extend({
	list: list,
	text: text,
	words: words,
	table: table,
	badge: badge,
	box: box,
	lines: lines,
	folded: folded,
	moment: moment
});
