'use strict';

/*
 * Runs a LuCI view on answers read from stdin and prints the page it made, as JSON.
 *
 * stdin:  { replies: { "netpolicy.status": [answer, ...], ... }, steps: [["click", "Next"], ...],
 *           write: bool, host: "192.168.1.1", answering: ["http://..."] }    the last answer repeats
 *         An answer may also be { "!reject": "text" }, or, where the page fetches by itself:
 *         { "!refused": "words" }, { "!unknown": "words" }, { "!denied": "" }, { "!silent": "" }.
 *         "netpolicy.confirm anew" is what a request without credentials gets.
 * stdout: { html, looks, raw, calls, asked, notes, disabled, poll }; time is that of the steps
 *
 * The stand-ins keep LuCI's rule that matters here: a child given in an array becomes a text
 * node, a bare string becomes HTML. What became HTML is collected in `raw`.
 */

const fs = require('fs');
const path = require('path');

const VIEW = process.argv[2];
const RESOURCES = path.resolve(path.dirname(VIEW), '../..');
const input = JSON.parse(fs.readFileSync(0, 'utf8'));

const raw = [];
const calls = [];
const notes = [];
const polls = [];
const asked = [];
const looks = [];

String.prototype.format = function (...values) {
	let next = 0;
	return this.replace(/%[sd]/g, () => String(values[next++]));
};

class Node {
	constructor(tag, attributes) {
		this.tag = tag;
		this.attributes = attributes || {};
		this.children = [];
		this.style = {};
		this.disabled = false;
		this.value = '';
	}

	append(children) {
		if (children instanceof Node)
			this.children.push(children);
		else if (Array.isArray(children))
			for (const child of children)
				this.children.push(child instanceof Node ? child : { text: String(child) });
		else if (children !== null && children !== undefined) {
			raw.push(String(children));
			this.children.push({ html: String(children) });
		}
	}

	find(test) {
		if (this.style.display == 'none')
			return null;
		if (test(this))
			return this;
		for (const child of this.children) {
			const found = child instanceof Node ? child.find(test) : null;
			if (found)
				return found;
		}
		return null;
	}

	text() {
		return this.children.map(child => child instanceof Node ? child.text() : child.text || '').join('');
	}
}

const escape = text => text.replace(/[&<>"]/g, c => '&#' + c.charCodeAt(0) + ';');

function write(node) {
	if (!(node instanceof Node))
		return node.html !== undefined ? node.html : escape(node.text);
	if (node.style.display == 'none')
		return '';
	const attributes = Object.entries(node.attributes)
		.filter(([, value]) => typeof value != 'function')
		.map(([name, value]) => ` ${name}="${escape(String(value))}"`).join('');
	return `<${node.tag}${attributes}>${node.children.map(write).join('')}</${node.tag}>`;
}

function E(tag, attributes, children) {
	const node = new Node(tag, attributes);
	node.append(children);
	return node;
}

/* -- time: it passes when a step says so -- */

const timers = [];
let clock = 0;

const settle = async () => {
	for (let turn = 0; turn < 20; turn++)
		await new Promise(resolve => setImmediate(resolve));
};

async function pass(seconds) {
	const end = clock + seconds * 1000;
	await settle();
	for (;;) {
		const due = timers.filter(timer => timer.at <= end).sort((a, b) => a.at - b.at)[0];
		if (!due)
			break;
		timers.splice(timers.indexOf(due), 1);
		clock = due.at;
		due.task();
		await settle();
	}
	clock = end;
}

/* -- the router, as `fetch` finds it -- */

function next(name) {
	const queue = input.replies[name];
	return queue && queue.length > 1 ? queue.shift() : (queue || [])[0];
}

function answerTo(url, options) {
	if (!String(options.body || '').startsWith('{'))
		return (input.answering || []).some(base => url.startsWith(base)) || url.startsWith('/') ? '' : { '!silent': '' };
	const [ , object, method ] = JSON.parse(options.body).params;
	const anew = options.credentials == 'omit' ? next(`${object}.${method} anew`) : undefined;
	return anew !== undefined ? anew : next(`${object}.${method}`) || { '!refused': 'Object not found' };
}

function framed(answer) {
	if (typeof answer == 'string')
		return answer;
	if (answer['!refused'] !== undefined)
		return JSON.stringify({ result: [ 2, { error: answer['!refused'] } ] });
	if (answer['!unknown'] !== undefined)
		return JSON.stringify({ result: [ 4, { error: answer['!unknown'] } ] });
	if (answer['!denied'] !== undefined)
		return JSON.stringify({ error: { code: -32002, message: 'Access denied' } });
	return JSON.stringify({ result: [ 0, answer ] });
}

function fetch(url, options) {
	const parameters = String(options.body || '').startsWith('{') ? JSON.parse(options.body).params.slice(1) : [];
	asked.push({ url, parameters, credentials: options.credentials, mode: options.mode || '', at: clock / 1000 });
	const answer = answerTo(url, options);
	if (answer['!silent'] === undefined)
		return Promise.resolve({ type: options.mode == 'no-cors' ? 'opaque' : 'basic', text: async () => framed(answer) });
	return new Promise((_, reject) => options.signal.addEventListener('abort', () => reject(new Error('aborted'))));
}

const page_window = {
	fetch,
	setTimeout: (task, delay) => { timers.push({ task, at: clock + delay }); return timers[timers.length - 1]; },
	clearTimeout: timer => { if (timers.includes(timer)) timers.splice(timers.indexOf(timer), 1); },
	performance: { now: () => clock },
	location: { protocol: 'http:', hostname: input.host || '192.168.1.1', port: '', pathname: '/changes', reload: () => {} },
	scrollTo: () => {}
};

const modules = {
	baseclass: { extend: methods => methods },
	view: { extend: methods => methods },
	poll: { add: (task, seconds) => polls.push({ task, seconds }) },
	dom: { content: (node, children) => { node.children = []; node.append(children); } },
	ui: {
		addNotification: (title, node, kind) => notes.push([ node.text(), kind ]),
		createHandlerFn: (self, handler) => ev => handler.call(self, ev)
	},
	rpc: {
		getSessionID: () => 'SESSION',
		getBaseURL: () => '/ubus/',
		declare: options => (...values) => {
			const name = `${options.object}.${options.method}`;
			const queue = input.replies[name] || [ { '!reject': 'Object not found' } ];
			const answer = queue.length > 1 ? queue.shift() : queue[0];
			calls.push([ name, ...values ]);
			return answer !== null && answer['!reject']
				? Promise.reject(new Error(answer['!reject']))
				: Promise.resolve(answer);
		}
	}
};

const L = {
	bind: (method, self, ...values) => method.bind(self, ...values),
	hasViewPermission: () => input.write !== false
};

/* Modules of ours lie in files; LuCI's own are the stand-ins above. */
function required(name) {
	if (!modules[name])
		modules[name] = load(fs.readFileSync(path.join(RESOURCES, name.replace(/\./g, '/') + '.js'), 'utf8'));
	return modules[name];
}

/* LuCI runs a view as the body of a function; its 'require' lines name the arguments. */
function load(source) {
	const found = [ ...source.matchAll(/^'require ([\w.]+)(?: as (\w+))?';$/gm) ];
	const names = found.map(match => match[2] || match[1]);
	const body = new Function('E', '_', 'L', 'window', ...names, source);
	return body(E, text => text, L, page_window, ...found.map(match => required(match[1])));
}

const isInput = node => node.tag == 'input';
const byLabel = label => node => node.attributes['aria-label'] == label ||
	(node.tag == 'label' && node.find(isInput) && node.text().trim() == label);

async function main() {
	const view = load(fs.readFileSync(VIEW, 'utf8'));
	const page = view.render(await view.load());
	await settle();

	for (const [ action, argument, value ] of input.steps || []) {
		if (action == 'click')
			await Promise.race([ page.find(n => n.tag == 'button' && n.text() == argument).attributes.click({}), pass(0) ]);
		if (action == 'filter')
			await page.find(isInput).attributes.change({ target: { value: argument } });
		if (action == 'type')
			page.find(byLabel(argument)).value = value;
		if (action == 'check')
			page.find(byLabel(argument)).find(isInput).checked = value;
		if (action == 'poll')
			await polls[0].task();
		if (action == 'pass')
			await pass(argument);
		if (action == 'look')
			looks.push(write(page));
	}

	const buttons = [];
	page.find(n => { if (n.tag == 'button' && n.disabled) buttons.push(n.text()); return false; });
	process.stdout.write(JSON.stringify({
		html: write(page), looks, raw, calls, asked, notes, disabled: buttons,
		poll: polls.map(entry => entry.seconds)
	}));
}

main().catch(error => { console.error(error); process.exit(1); });
