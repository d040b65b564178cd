// Tokenizes texts as VS Code does, and applies a problem matcher's expression, in one process for all.
//
//   node tokenize.mjs FOLDER_OF_PACKAGES GRAMMAR < request.json > answer.json
//
// The request is {texts: {name: text}, expression, lines}; the answer {tokens: {name: [[[start, end,
// scope, ...], ...] per line]}, matched: [groups or null per line]}. Positions are UTF-16 code units.

import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';

const [packages, grammarFile] = process.argv.slice(2);
const require = createRequire(`${packages}/`);
const oniguruma = require(`${packages}/vscode-oniguruma/release/main.js`);
const textmate = require(`${packages}/vscode-textmate/release/main.js`);

const SCOPE = JSON.parse(readFileSync(grammarFile, 'utf8')).scopeName;

async function grammar() {
	const wasm = readFileSync(`${packages}/vscode-oniguruma/release/onig.wasm`);
	await oniguruma.loadWASM(wasm.buffer.slice(wasm.byteOffset, wasm.byteOffset + wasm.byteLength));
	const registry = new textmate.Registry({
		onigLib: Promise.resolve({
			createOnigScanner: (patterns) => new oniguruma.OnigScanner(patterns),
			createOnigString: (text) => new oniguruma.OnigString(text),
		}),
		loadGrammar: async () => textmate.parseRawGrammar(readFileSync(grammarFile, 'utf8'), grammarFile),
	});
	return registry.loadGrammar(SCOPE);
}

function tokens(loaded, text) {
	let stack = textmate.INITIAL;
	return text.split(/\r?\n/).map((line) => {
		const done = loaded.tokenizeLine(line, stack);
		stack = done.ruleStack;
		return done.tokens.map((token) => [token.startIndex, token.endIndex, ...token.scopes]);
	});
}

// What VS Code says of an expression that does not compile, or of an endless loop, is a failure here.
console.debug = console.log = console.warn = console.error;

const request = JSON.parse(readFileSync(0, 'utf8'));
const loaded = await grammar();
const found = Object.entries(request.texts).map(([name, text]) => [name, tokens(loaded, text)]);
const matched = request.lines.map((line) => new RegExp(request.expression).exec(line));
process.stdout.write(JSON.stringify({ tokens: Object.fromEntries(found), matched }));
