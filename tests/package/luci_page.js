'use strict';

/*
 * Runs the LuCI view on answers read from stdin and prints the page it made, as JSON.
 *
 * stdin:  { replies: { "netpolicy.status": [answer, ...], ... }, steps: [["click", "Next"], ...],
 *           write: bool }    an answer { "!reject": "text" } rejects; the last one repeats
 * stdout: { html, raw, hidden, calls, notes, poll, disabled }
 *
 * The stand-ins keep LuCI's rule that matters here: a child given in an array becomes a text
 * node, a bare string becomes HTML. What became HTML is collected in `raw`.
 */

const fs = require('fs');

const VIEW = process.argv[2];
const input = JSON.parse(fs.readFileSync(0, 'utf8'));

const raw = [];
const calls = [];
const notes = [];
const polls = [];

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

const modules = {
	view: { extend: methods => methods },
	poll: { add: (task, seconds) => polls.push({ task, seconds }) },
	dom: { content: (node, children) => { node.children = []; node.append(children); } },
	ui: {
		addNotification: (title, node, kind) => notes.push([ node.text(), kind ]),
		createHandlerFn: (self, handler) => ev => handler.call(self, ev)
	},
	rpc: {
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

/* LuCI runs a view as the body of a function; its 'require' lines name the arguments. */
function load(source) {
	const names = [ ...source.matchAll(/^'require (\w+)';$/gm) ].map(match => match[1]);
	const body = new Function('E', '_', 'L', ...names, source);
	return body(E, text => text, L, ...names.map(name => modules[name]));
}

async function main() {
	const view = load(fs.readFileSync(VIEW, 'utf8'));
	const page = view.render(await view.load());

	for (const [ action, argument ] of input.steps || []) {
		if (action == 'click')
			await page.find(n => n.tag == 'button' && n.text() == argument).attributes.click({});
		if (action == 'filter')
			await page.find(n => n.tag == 'input').attributes.change({ target: { value: argument } });
		if (action == 'poll')
			await polls[0].task();
	}

	const buttons = [];
	page.find(n => { if (n.tag == 'button' && n.disabled) buttons.push(n.text()); return false; });
	process.stdout.write(JSON.stringify({
		html: write(page), raw, calls, notes, disabled: buttons,
		poll: polls.map(entry => entry.seconds)
	}));
}

main().catch(error => { console.error(error); process.exit(1); });
