'use strict';
'require baseclass';
'require rpc';

/*
 * Calls to the router whose connection matters: by any connection, or by a new one.
 *
 * A browser keeps connections open and says nothing of them, and `Connection: close` is not for
 * scripts to set. Three things are:
 *
 * - requests without credentials go over other connections than those with; this page uses them
 *   for nothing else, so the first one after a change opens a new connection;
 * - uhttpd ends a connection after an error that left a request's body unread: `hangUp` asks for
 *   that, and the next request has to connect anew;
 * - another address of the router is another connection in any case.
 *
 * The session goes to this page's own address; to another one of the router only where the own
 * one is silent, as the last way to say that the change may stay. Nothing secret is in a URL.
 */

var KNOCK_SECONDS = 2;
var QUICK_SECONDS = 5;
var PATIENT_SECONDS = 90;
var MOST_ADDRESSES = 6;

/* A page that is not there; it must be asked for with a body. */
var NOWHERE = '/luci-static/resources/netpolicy/hang-up';
var ICON = '/luci-static/resources/icons/loading.svg';

var ADDRESS = /^([0-9]{1,3}(\.[0-9]{1,3}){3}|[0-9a-fA-F:]*:[0-9a-fA-F:.]*)$/;

var DENIED = -32002;
var NOT_FOUND = 4;

function failure(kind, words) {
	var error = new Error(words);
	error.kind = kind;
	return error;
}

/* `fetch` that ends. Rejects with kind `silent` where nobody answers. */
function ask(url, options, seconds) {
	var controller = new AbortController(),
	    timer = window.setTimeout(function() { controller.abort(); }, seconds * 1000);

	return window.fetch(url, Object.assign({
		cache: 'no-store', referrerPolicy: 'no-referrer', signal: controller.signal
	}, options)).then(function(response) {
		return response.type == 'opaque' ? '' : response.text();
	}).then(function(body) {
		window.clearTimeout(timer);
		return body;
	}, function() {
		window.clearTimeout(timer);
		throw failure('silent', _('The router does not answer.'));
	});
}

function request(object, method, parameters) {
	return JSON.stringify({
		jsonrpc: '2.0', id: 1, method: 'call', params: [ rpc.getSessionID(), object, method, parameters || {} ]
	});
}

/* The reply, or what is said instead of one. */
function understood(body) {
	var message, status, reply;

	try {
		message = JSON.parse(body);
	}
	catch (error) {
		throw failure('silent', _('The router answered with something else than a reply.'));
	}

	if (message && message.error)
		throw message.error.code == DENIED
			? failure('denied', _('You are not allowed to do this, or the login has ended.'))
			: failure('absent', String(message.error.message || message.error.code));

	status = ((message || {}).result || [])[0];
	reply = ((message || {}).result || [])[1] || {};

	if (status !== 0)
		throw failure(status == NOT_FOUND ? 'unknown' : 'refused',
			String(reply.error || _('The service answered with ubus status %s.').format(String(status))));

	return reply;
}

/* The base of another address of this router, served as this page is. */
function base(address) {
	var host = address.indexOf(':') >= 0 ? '[' + address + ']' : address,
	    port = window.location.port ? ':' + window.location.port : '';

	return window.location.protocol + '//' + host + port;
}

function isOther(address) {
	var own = String(window.location.hostname).replace(/^\[|\]$/g, '');

	return ADDRESS.test(address) && address != own && !/^(127\.|::1$|fe[89ab])/i.test(address);
}

function addressesOf(entry) {
	function those(rows) {
		return (Array.isArray(rows) ? rows : []).map(function(row) { return String((row || {}).address); });
	}

	var assigned = (Array.isArray(entry['ipv6-prefix-assignment']) ? entry['ipv6-prefix-assignment'] : [])
		.map(function(row) { return (row || {})['local-address']; });

	return those(entry['ipv4-address']).concat(those(entry['ipv6-address']), those(assigned));
}

return baseclass.extend({
	call: function(object, method, parameters, seconds) {
		return ask(rpc.getBaseURL(), {
			method: 'POST', body: request(object, method, parameters), credentials: 'same-origin',
			headers: { 'Content-Type': 'application/json' }
		}, seconds || PATIENT_SECONDS).then(understood);
	},

	/* By a connection that nothing but confirmations goes over. */
	callAnew: function(object, method, parameters) {
		return ask(rpc.getBaseURL(), {
			method: 'POST', body: request(object, method, parameters), credentials: 'omit',
			headers: { 'Content-Type': 'application/json' }
		}, QUICK_SECONDS).then(understood);
	},

	/* To an address whose answer this page may not read. True: somebody is there. */
	callBlindly: function(address, object, method, parameters) {
		return ask(base(address) + rpc.getBaseURL(), {
			method: 'POST', mode: 'no-cors', credentials: 'omit', body: request(object, method, parameters)
		}, QUICK_SECONDS).then(function() { return true; }, function() { return false; });
	},

	/* What `callAnew` used is closed, so that its next request opens a connection. */
	hangUp: function() {
		return ask(NOWHERE, { method: 'POST', body: 'x', credentials: 'omit' }, KNOCK_SECONDS)
			.catch(function() {});
	},

	/* Those of the addresses that answer, each by a connection of its own. */
	knock: function(addresses) {
		return Promise.all(addresses.map(function(address) {
			return ask(base(address) + ICON, { mode: 'no-cors', credentials: 'omit' }, KNOCK_SECONDS)
				.then(function() { return address; }, function() { return ''; });
		})).then(function(found) {
			return found.filter(Boolean);
		});
	},

	/* Other addresses of this router than the one of this page, without those of the devices `outside`. */
	addresses: function(outside) {
		return this.call('network.interface', 'dump', {}, QUICK_SECONDS).then(function(reply) {
			var found = [];

			(Array.isArray(reply['interface']) ? reply['interface'] : []).forEach(function(entry) {
				if (outside.indexOf(entry.l3_device) < 0)
					found = found.concat(addressesOf(entry));
			});

			return found.filter(function(address, place) {
				return isOther(address) && found.indexOf(address) == place;
			}).slice(0, MOST_ADDRESSES);
		}).catch(function() {
			return [];
		});
	},

	/* Where this page is at another address. */
	page: function(address) {
		return base(address) + window.location.pathname;
	}
});
