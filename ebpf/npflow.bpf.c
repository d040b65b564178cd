/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * npflow: looks at every packet of a device and tells user space which connections there are, how they begin and
 * how they go. It decides nothing: it never drops, changes, marks or redirects a packet, and always answers "go on",
 * so that the filters of others behind it run as if it were not there.
 *
 * What it sees is packet data alone (no BTF, no kprobes), so one object fits every kernel from 5.8. Of a ClientHello
 * that is whole and plain it takes out what is wanted; everything else goes as it is to user space, which joins pieces
 * and says what is wrong. Whether a name is one, is judged there alone.
 *
 * "Up" is away from the client (the LAN side), "down" towards it. A direction's counters are written by its own
 * program alone, because the two run on different CPUs at once; what one side learns of the other it writes to its own.
 */
#include "npflow.h"

/* ---- what user space reads; netpolicy/flows/ebpf/layout.py has the same layouts, and a test compares the sizes ---- */

union address {
	u8 byte[16];
	u32 word[4];
	u64 half[2];
};

struct key { /* addresses and ports in network order, IPv4 as ::ffff:a.b.c.d */
	union address client, remote;
	u16 client_port, remote_port;
	u32 protocol;
};

/* Times: `now >> 10` (1.024 us, for differences up to 73 minutes) and `now >> 20` (1.05 ms, comes round in 52 days).
 * 32 bits, because a router with such words reads longer ones in halves; and no division, which armv7 may refuse. */
struct side {
	u64 bytes;
	u32 packets, retransmits;
	u32 isn;          /* its initial sequence number */
	u32 next;         /* behind the highest sequence number seen */
	u32 sample, sample_at; /* a segment that is timed: where it ends, when it passed; 0: none */
	u32 sample_done;  /* the `sample` of the other side that this one has acknowledged */
	u32 srtt8;        /* eight times the smoothed time until this side acknowledged the other's segments */
	u32 handshake;    /* how long this side took to answer a SYN, or a SYN-ACK; 0: unknown */
	u32 syn_at;
	u32 last;
	u16 flags, need, seen; /* of its first payload: bytes wanted, and had without a gap */
	u8 syns, resets;
	u8 ttl, ttl_reset, pieces, zero;
};

/* Behind 88 bytes of the map's own (its links, the key), so that each side has a cache line of its own. */
struct flow {
	u64 first; /* ns */
	u32 ifindex;
	u16 flags;
	u16 mac[3]; /* the client's, zero on devices without Ethernet header */
	u32 zero[5];
	struct side up, down;
};

#define FLOW_MID 1 /* its beginning was not seen */

/* struct side, flags */
#define SIDE_SYN 0x1
#define SIDE_FIN 0x2
#define SIDE_RST 0x4
#define SIDE_DATA 0x8
#define SIDE_OPENER 0x10
#define SIDE_ANSWERED 0x20  /* it acknowledged the other side's SYN */
#define SIDE_SAW_FIN 0x40   /* it acknowledged the other side's FIN */
#define SIDE_TOLD 0x80      /* the end of the flow was told to user space */
#define SIDE_LOST 0x100     /* an event of it did not fit the ring */
#define SIDE_CAPTURED 0x200 /* its first payload is no more of interest */
#define SIDE_TLS 0x400
#define SIDE_HTTP 0x800
#define SIDE_SIZED 0x1000   /* `need` is known, not just a bound */
#define SIDE_DNS 0x2000

struct event {
	u64 when; /* ns */
	u16 kind, length;
	u32 ifindex, offset, first;
	struct key key; /* but ports in the machine's order */
};

/* Of a flow that is over, what user space wants to know, in its words and units: it has thousands a second to read.
 * Truths are 0 or 1. */
struct told {
	u64 bytes;
	u32 packets, retransmits;
	u8 resets, syns, fin, zero;
	u32 srtt_us; /* until the other side acknowledged */
	u8 ttl, ttl_reset;
	u16 zeros[3];
};

struct over {
	struct told up, down;
	u32 rtt_remote_us, rtt_client_us;
	u8 inbound, mid, lost, state;
	u16 mac[3], zeros[3];
	u64 first, last; /* ns */
};

#define STATE_SYN 0
#define STATE_OPEN 1
#define STATE_CLOSED 2
#define STATE_RESET 3

/* Of a ClientHello; behind it the content of server_name, and then that of the protocols (ALPN). */
struct hello {
	u16 name, protocols; /* bytes of each; 0: it has none */
	u32 ech;             /* it is the outer one of two: encrypted_client_hello is there, with its type 0 */
};

#define EVENT_STREAM 1
#define EVENT_INBOUND 2
#define EVENT_DNS_QUERY 3
#define EVENT_DNS_ANSWER 4
#define EVENT_QUIC 5
#define EVENT_OVER 6
#define EVENT_DNS_ASKING 7 /* as EVENT_STREAM, of DNS over TCP; and what comes back */
#define EVENT_DNS_ANSWERING 8
#define EVENT_HELLO 9 /* in place of EVENT_STREAM: what a ClientHello says that is whole and plain */

struct stats {
	u64 packets;
	u64 other;     /* not TCP or UDP between two hosts */
	u64 fragments; /* not followed: only the first one has ports */
	u64 malformed;
	u64 stray;     /* TCP of a connection that is unknown, without anything that could be told of it */
	u64 begun, over; /* flows */
	u64 full;      /* flows that found no place */
	u64 events, lost;
	u64 bounce; /* counts nothing, see bounced() */
};

struct settings { /* zero until user space has written them: then nothing leaves the kernel */
	u32 on, urgent; /* SEND_ bits; 1 << EVENT_ bits of what is worth a wakeup at once */
	u32 wake, zero; /* bytes waiting at which user space is woken in any case */
};

#define SEND_TLS 0x1
#define SEND_HTTP 0x2
#define SEND_DNS_ANSWERS 0x4
#define SEND_DNS_QUERIES 0x8
#define SEND_QUIC 0x10
#define SEND_OVER 0x20

/* ---- bounds ---- */

#define PIECE 8192     /* of payload in one event; a power of two */
#define HELLO 8192     /* of a ClientHello; post-quantum ones have some 2000 bytes */
#define EXTENDED 32    /* extensions of a ClientHello; browsers send 15 to 20 */
#define NAMED 512      /* bytes of its server_name; a power of two, */
#define PROTOCOLS 128  /* as of its list of protocols */
#define REQUEST 2048   /* of an HTTP request: Host is among its first lines */
#define DATAGRAM 2048
#define ANSWERS 8192   /* of what a name server says by TCP */
#define PIECES 16      /* of one flow: some programs cut their ClientHello into small ones on purpose */
#define MESSAGES 64    /* the same of DNS over TCP, which may be open for many questions */
#define INITIALS 6     /* of one QUIC connection */
#define QUIC_LEAST 1200 /* RFC 9000, 14.1: no Initial of a client is shorter; a server's first full answer is as long */
#define RECORDS 320    /* headers of TLS records, where a ClientHello is spread over some */
#define TAGS 3         /* two VLAN tags and PPPoE */
#define EXTENSIONS 6   /* headers of IPv6 */
#define WAKE_BAND 16384 /* wider than the longest event, so that none jumps over it */
#define SAMPLE_MOST (1 << 28) /* 275 s: beyond that a time is no round trip */

struct record {
	struct event event;
	u8 data[PIECE];
	/* While a ClientHello is walked through: here, and not on the stack, the verifier knows nothing of the numbers; else
	 * it goes through all that follows for each of them that it can tell apart. */
	struct walk {
		u32 at, zero;
		struct extension {
			u32 times, at, size;
		} found[4]; /* by the places of place_of */
	} walk;
};

SECTION("maps") struct map flows = {MAP_LRU_HASH, sizeof(struct key), sizeof(struct flow), 8192, 0};
SECTION("maps") struct map events = {MAP_RINGBUF, 0, 0, 1 << 18, 0};
SECTION("maps") struct map scratch = {MAP_PERCPU_ARRAY, 4, sizeof(struct record), 1, 0};
SECTION("maps") struct map counts = {MAP_PERCPU_ARRAY, 4, sizeof(struct stats), 1, 0};
SECTION("maps") struct map config = {MAP_ARRAY, 4, sizeof(struct settings), 1, 0};

SECTION("license") char terms[] = "Dual MIT/GPL"; /* the clock is for GPL-compatible programs only */

/* ---- headers ---- */

#define ETHERNET 14
#define TYPE_IPV4 0x0800
#define TYPE_IPV6 0x86dd
#define TYPE_VLAN 0x8100
#define TYPE_QINQ 0x88a8
#define TYPE_QINQ_OLD 0x9100
#define TYPE_PPPOE 0x8864
#define PPP_IPV4 0x0021
#define PPP_IPV6 0x0057

#define TCP 6
#define UDP 17
#define PORT_DNS 53
#define DNS_HEADER 12

#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10

struct ipv4 {
	u8 version_length, tos;
	u16 total, id, fragment;
	u8 ttl, protocol;
	u16 checksum;
	u32 source, destination;
};

struct ipv6 {
	u32 version;
	u16 payload;
	u8 protocol, ttl;
	u64 source[2], destination[2];
};

struct tcp {
	u16 source, destination;
	u32 sequence, acknowledged;
	u8 offset, flags;
	u16 window, checksum, urgent;
};

struct udp {
	u16 source, destination, length, checksum;
};

/* Two bytes first, so that what comes behind Ethernet is aligned: without that clang reads it byte by byte. */
struct head {
	u16 pad, destination[3], source[3], type;
	union {
		struct ipv6 six;
		struct {
			struct ipv4 four;
			union {
				struct tcp tcp;
				struct udp udp;
			};
		};
	};
} __attribute__((aligned(8)));

struct packet {
	u32 protocol;
	u8 flags, ttl;
	u32 sequence, acknowledged;
	u32 network; /* where the IP header begins */
	u32 total;   /* bytes from there to the end of the packet, as its header says */
	u32 at;      /* where the payload begins */
	u32 payload; /* its length */
	u32 pieces;  /* packets on the wire that this one is made of */
};

enum found { USABLE, OTHER, FRAGMENT, MALFORMED };

static INLINE int is_tag(u16 type)
{
	return type == net16(TYPE_VLAN) || type == net16(TYPE_QINQ) || type == net16(TYPE_QINQ_OLD);
}

/* Steps over VLAN tags and PPPoE; what then comes, as an Ethernet type. 0: nothing of ours. */
static INLINE u16 behind_tags(struct __sk_buff *skb, u16 type, u32 *at)
{
	u16 tag[4];

#pragma clang loop unroll(disable)
	for (int i = 0; i < TAGS; i++) {
		if (is_tag(type)) {
			if (skb_load(skb, *at, tag, 4))
				return 0;
			*at += 4;
			type = tag[1];
		} else if (type == net16(TYPE_PPPOE)) {
			if (skb_load(skb, *at, tag, 8) || tag[0] != net16(0x1100)) /* version 1, type 1, code 0: a session's data */
				return 0;
			*at += 8;
			return tag[3] == net16(PPP_IPV4) ? net16(TYPE_IPV4) : tag[3] == net16(PPP_IPV6) ? net16(TYPE_IPV6) : 0;
		}
	}
	return type;
}

/* Steps over extension headers; USABLE with the upper protocol and where it begins. */
static INLINE enum found behind_extensions(struct __sk_buff *skb, u32 *protocol, u32 *at)
{
	u8 next[4];

	for (int i = 0; i < EXTENSIONS; i++) {
		switch (*protocol) {
		case 0:   /* hop by hop */
		case 43:  /* routing */
		case 60:  /* destination options */
		case 51:  /* authentication */
		case 135: /* mobility */
		case 44:  /* fragment */
			break;
		default:
			return USABLE;
		}
		if (skb_load(skb, *at, next, 4))
			return MALFORMED;
		if (*protocol == 44) {
			/* one that is no fragment at all may have the header nevertheless, RFC 6946 */
			if (next[2] || next[3] & 0xf9)
				return FRAGMENT;
			*at += 8;
		} else {
			*at += *protocol == 51 ? (next[1] + 2) * 4 : (next[1] + 1) * 8;
		}
		*protocol = next[0];
	}
	return OTHER;
}

static INLINE void mapped(union address *to, u32 address)
{
	to->half[0] = 0;
	to->word[2] = net32(0xffff);
	to->word[3] = address;
}

/* Ports, sequence numbers and payload of what begins at `at`, which `tcp` or `udp` is. */
static INLINE enum found transport(struct __sk_buff *skb, struct packet *p, struct key *key, const struct tcp *tcp,
				   const struct udp *udp, u32 at, const int down)
{
	u32 used = at - p->network, own, payload = 0;
	u16 source, destination;

	if (p->protocol == TCP) {
		own = (tcp->offset >> 4) * 4;
		if (unlikely(own < sizeof(struct tcp)))
			return MALFORMED;
		p->flags = tcp->flags;
		p->sequence = net32(tcp->sequence);
		p->acknowledged = net32(tcp->acknowledged);
	} else {
		u32 length = net16(udp->length);
		own = sizeof(struct udp);
		if (length < own ? length || !skb->gso_size : used + length > p->total)
			return MALFORMED;
		/* Of merged datagrams this is the first one's length, or that of all, or nothing; else what comes behind it is
		 * no payload. */
		payload = skb->gso_size ? 0 : length - own;
		p->flags = 0;
	}
	if (unlikely(used + own > p->total))
		return MALFORMED;
	source = tcp->source, destination = tcp->destination; /* at the same place in both */
	p->at = at + own;
	p->payload = payload ? payload : p->total - used - own;
	key->client_port = down ? destination : source;
	key->remote_port = down ? source : destination;
	key->protocol = p->protocol;

	p->pieces = skb->gso_segs;
	if (!p->pieces && skb->gso_size) /* from a virtual machine, which may leave it open */
		p->pieces = (p->payload + skb->gso_size - 1) / skb->gso_size;
	if (p->pieces < 1)
		p->pieces = 1;
	return USABLE;
}

/* What the loader is asked: it puts the answers in these places, as if they were addresses of symbols, and the kernel
 * leaves out what then does not apply. */
#define asked(what) ({ u64 answer; asm("%0 = " #what " ll" : "=r"(answer)); answer; })

static INLINE void addresses4(struct packet *p, struct key *key, const struct ipv4 *ip, const int down)
{
	p->protocol = ip->protocol;
	p->ttl = ip->ttl;
	p->total = net16(ip->total);
	mapped(&key->client, down ? ip->destination : ip->source);
	mapped(&key->remote, down ? ip->source : ip->destination);
}

static INLINE void addresses6(struct packet *p, struct key *key, const struct ipv6 *ip, const int down)
{
	const u64 *client = down ? ip->destination : ip->source, *remote = down ? ip->source : ip->destination;

	p->protocol = ip->protocol;
	p->ttl = ip->ttl;
	p->total = ip->payload ? net16(ip->payload) + sizeof(struct ipv6) : 0;
	key->client.half[0] = client[0];
	key->client.half[1] = client[1];
	key->remote.half[0] = remote[0];
	key->remote.half[1] = remote[1];
}

/* Is the length that the header says one that the packet has? */
static INLINE int is_whole(struct __sk_buff *skb, struct packet *p)
{
	u32 have = skb->len - p->network;

	if (unlikely(!p->total) && skb->gso_size) /* merged by the kernel to more than the field can say */
		p->total = have;
	return p->total <= have;
}

/* The same number, of which the verifier knows nothing: else it goes through all that follows for each it can be. */
static INLINE u32 bounced(struct stats *stats, u32 number)
{
	*(volatile u32 *)&stats->bounce = number;
	return *(volatile u32 *)&stats->bounce;
}

/* Reads the headers of any packet. `down` is a constant: each program is compiled for its own direction. */
static INLINE enum found parse(struct __sk_buff *skb, struct stats *stats, struct packet *p, struct key *key,
			       const int down)
{
	struct head head;
	u32 at = 0;
	u8 version;

	if (asked(ethernet)) {
		at = ETHERNET;
		if (skb_load(skb, 0, head.destination, ETHERNET))
			return MALFORMED;
		head.type = behind_tags(skb, head.type, &at);
		if (head.type != net16(TYPE_IPV4) && head.type != net16(TYPE_IPV6))
			return OTHER;
	}
	/* A small packet of IPv4 has less than is asked for. */
	if (skb_load(skb, at, &head.six, sizeof(struct ipv6)) && skb_load(skb, at, &head.four, sizeof(struct ipv4)))
		return MALFORMED;
	p->network = at;
	version = head.four.version_length >> 4;
	if (version == 4) {
		u32 length = (head.four.version_length & 15) * 4;
		if (length < sizeof(struct ipv4))
			return MALFORMED;
		if (head.four.fragment & net16(0x3fff))
			return FRAGMENT;
		addresses4(p, key, &head.four, down);
		at += length;
	} else if (version == 6) {
		enum found found;
		if (skb->len - at < sizeof(struct ipv6))
			return MALFORMED;
		addresses6(p, key, &head.six, down);
		at += sizeof(struct ipv6);
		found = behind_extensions(skb, &p->protocol, &at);
		if (found != USABLE)
			return found;
	} else {
		return MALFORMED;
	}
	if (!is_whole(skb, p))
		return MALFORMED;
	at = bounced(stats, at);
	p->network = bounced(stats, p->network);
	if (p->protocol == TCP) {
		if (skb_load(skb, at, &head.tcp, sizeof(struct tcp)))
			return MALFORMED;
	} else if (p->protocol == UDP) {
		if (skb_load(skb, at, &head.udp, sizeof(struct udp)))
			return MALFORMED;
	} else {
		return OTHER;
	}
	return transport(skb, p, key, &head.tcp, &head.udp, at, down);
}

/* Reads the headers of nearly every packet in place: no tags, no options, no extensions. OTHER: `parse` shall look. */
static INLINE enum found parse_plain(struct __sk_buff *skb, struct packet *p, struct key *key, const int down)
{
	void *data = (void *)(u64)skb->data, *end = (void *)(u64)skb->data_end;
	const u16 *type = data + ETHERNET - 2;
	const struct ipv4 *four = data + ETHERNET;
	const struct ipv6 *six = data + ETHERNET;

	/* Behind two bytes that the verifier knows of, an Ethernet header leaves everything aligned; without it, nothing. */
	if (!asked(ethernet) || unlikely(data + ETHERNET + sizeof(*four) + sizeof(struct tcp) > end))
		return OTHER;
	p->network = ETHERNET;
	if (likely(*type == net16(TYPE_IPV4))) {
		void *next = data + ETHERNET + sizeof(*four);
		if (unlikely(four->version_length != 0x45 || four->fragment & net16(0x3fff)))
			return OTHER;
		addresses4(p, key, four, down);
		if (unlikely((p->protocol != TCP && p->protocol != UDP) || !is_whole(skb, p)))
			return OTHER;
		return transport(skb, p, key, next, next, ETHERNET + sizeof(*four), down);
	}
	if (*type == net16(TYPE_IPV6) && data + ETHERNET + sizeof(*six) + sizeof(struct tcp) <= end) {
		void *next = data + ETHERNET + sizeof(*six);
		if (unlikely(*(u8 *)six >> 4 != 6))
			return OTHER;
		addresses6(p, key, six, down);
		if (unlikely((p->protocol != TCP && p->protocol != UDP) || !is_whole(skb, p)))
			return OTHER;
		return transport(skb, p, key, next, next, ETHERNET + sizeof(*six), down);
	}
	return OTHER;
}

/* ---- telling ---- */

struct context {
	struct __sk_buff *skb;
	struct packet *packet;
	struct key *key;
	struct stats *stats;
};

/* A clock that stands still between two ticks, of 1 to 10 ms: a tenth of the price. */
static INLINE u32 roughly_now(void)
{
	return (asked(coarse) ? ktime_coarse_ns() : ktime_ns()) >> 20;
}

static INLINE u32 ticks(void)
{
	return ktime_ns() >> 10;
}

static INLINE struct settings *settings(void)
{
	u32 zero = 0;

	return map_lookup(&config, &zero);
}

static INLINE struct record *record(struct context *c, u16 kind)
{
	u32 zero = 0;
	struct record *r = map_lookup(&scratch, &zero);

	if (!r)
		return 0;
	r->event.when = ktime_ns();
	r->event.kind = kind;
	r->event.ifindex = c->skb->ifindex;
	r->event.key = *c->key;
	r->event.key.client_port = net16(c->key->client_port);
	r->event.key.remote_port = net16(c->key->remote_port);
	return r;
}

/* Waking user space costs 15 times as much as the event, so it is left to its own clock until there is much to read:
 * once, while the backlog crosses a band. */
static INLINE u64 wakeup(struct settings *set, u16 kind)
{
	u64 beyond = ringbuf_query(&events, RING_AVAILABLE) - set->wake;
	u64 wanted = (set->urgent >> kind & 1) | (beyond < WAKE_BAND);

	return RING_NO_WAKEUP + (*(volatile u64 *)&wanted & 1); /* from memory, or there were two calls for one */
}

static INLINE void sent(struct context *c, struct side *own, s64 error)
{
	if (error) {
		c->stats->lost++;
		own->flags |= SIDE_LOST;
	} else {
		c->stats->events++;
	}
}

/* Sends `length` > 0 bytes of the packet from `at` on. */
static INLINE void send_payload(struct context *c, struct settings *set, struct side *own, u16 kind, u32 at, u32 length,
				u32 offset)
{
	struct record *r = record(c, kind);
	u64 size;

	if (!r)
		return;
	r->event.offset = offset;
	r->event.first = !own->pieces;
	/* Kernels before 6.2 learn no lower bound from a comparison, and follow every register back to its beginning;
	 * from memory they get a number without a history, and the mask gives its bounds. */
	*(volatile u16 *)&r->event.length = (length > PIECE ? PIECE : length) - 1;
	size = (*(volatile u16 *)&r->event.length & (PIECE - 1)) + 1;
	r->event.length = size;
	if (own->pieces < 255)
		own->pieces++;
	if (skb_load(c->skb, at, r->data, size)) {
		c->stats->malformed++;
		return;
	}
	sent(c, own, ringbuf_output(&events, r, sizeof(struct event) + size, wakeup(set, kind)));
}

/* A time in 1.024 us, and eight times such a one, in us. The factors are 0.024 and 0.128, times 2^32 and rounded up:
 * exact up to 39 s. */
static INLINE u32 in_us(u32 time)
{
	return time + ((u64)time * 103079216 >> 32);
}

static INLINE u32 eighth_in_us(u32 times)
{
	return (u64)times * 549755814 >> 32;
}

static INLINE void tell_side(struct told *to, struct side *side, struct side *other)
{
	to->bytes = side->bytes;
	to->packets = side->packets;
	to->retransmits = side->retransmits;
	to->resets = side->resets;
	to->syns = side->syns;
	to->fin = !!(side->flags & SIDE_FIN);
	to->zero = 0;
	to->srtt_us = eighth_in_us(other->srtt8); /* what the other one took to acknowledge */
	to->ttl = side->ttl;
	to->ttl_reset = side->ttl_reset;
	to->zeros[0] = to->zeros[1] = to->zeros[2] = 0;
}

static INLINE u8 state_of(struct flow *flow, u32 protocol)
{
	u16 up = flow->up.flags, down = flow->down.flags;

	if (protocol != TCP)
		return STATE_OPEN;
	if ((up | down) & SIDE_RST)
		return STATE_RESET;
	if (up & down & SIDE_FIN)
		return STATE_CLOSED;
	return (up | down) & SIDE_ANSWERED || flow->flags & FLOW_MID ? STATE_OPEN : STATE_SYN;
}

/* When its last packet passed: of both sides the later one was seen so long ago. One without packets has no time, and
 * one that seems to lie ahead has just been, by another CPU's clock. */
static INLINE u64 last_of(struct flow *flow, u64 now)
{
	u32 up = (now >> 20) - flow->up.last, down = (now >> 20) - flow->down.last, ago;
	u64 last;

	if (!flow->up.packets)
		up = down;
	else if (!flow->down.packets)
		down = up;
	ago = up < down ? up : down;
	last = (up | down) >> 31 ? now : now - ((u64)ago << 20);
	return (s64)last < (s64)flow->first ? flow->first : last;
}

/* The flow is over: everything that is known of it, as an event. */
static INLINE void send_over(struct context *c, struct flow *flow, struct side *own)
{
	struct settings *set = settings();
	struct record *r;
	struct over *over;

	c->stats->over++;
	if (!set || !(set->on & SEND_OVER))
		return;
	r = record(c, EVENT_OVER);
	if (!r)
		return;
	r->event.length = sizeof(struct over);
	r->event.offset = r->event.first = 0;
	over = (struct over *)r->data;
	tell_side(&over->up, &flow->up, &flow->down);
	tell_side(&over->down, &flow->down, &flow->up);
	/* Each side keeps how long it took to answer; whoever opens, the SYN-ACK's time comes first. */
	over->inbound = !!(flow->down.flags & SIDE_OPENER);
	over->rtt_remote_us = in_us(over->inbound ? flow->up.handshake : flow->down.handshake);
	over->rtt_client_us = in_us(over->inbound ? flow->down.handshake : flow->up.handshake);
	over->mid = !!(flow->flags & FLOW_MID);
	over->lost = !!((flow->up.flags | flow->down.flags) & SIDE_LOST);
	over->state = state_of(flow, c->key->protocol);
	over->mac[0] = flow->mac[0], over->mac[1] = flow->mac[1], over->mac[2] = flow->mac[2];
	over->zeros[0] = over->zeros[1] = over->zeros[2] = 0;
	over->first = flow->first;
	over->last = last_of(flow, r->event.when);
	r->event.ifindex = flow->ifindex;
	sent(c, own, ringbuf_output(&events, r, sizeof(struct event) + sizeof(struct over), wakeup(set, EVENT_OVER)));
}

/* ---- first payload of whoever opened a TCP connection, and of name servers ---- */

/* Is this the side of a client's connection to a name server that this program sees? */
static INLINE int is_with_name_server(struct context *c, struct side *own, const int down)
{
	return c->key->remote_port == net16(PORT_DNS) && (own->flags & SIDE_OPENER ? !down : down);
}

/* Does the stream begin with the length of a message, and a plain question or answer behind it? RFC 1035, 4.2.2. */
static INLINE int begins_dns(struct context *c, const int down)
{
	u8 begin[6] = {};

	if (c->packet->payload < sizeof(begin)) /* some send the length alone */
		return 1;
	if (skb_load(c->skb, c->packet->at, begin, sizeof(begin)))
		return 0;
	return (begin[0] << 8 | begin[1]) >= DNS_HEADER && (begin[4] & 0xf8) == (down ? 0x80 : 0);
}

/* The switch for what begins so; 0 for what is nobody's business. */
static INLINE u32 switch_of(u16 kind, const int down)
{
	switch (kind) {
	case SIDE_TLS:
		return SEND_TLS;
	case SIDE_HTTP:
		return SEND_HTTP;
	case SIDE_DNS:
		return down ? SEND_DNS_ANSWERS : SEND_DNS_QUERIES;
	}
	return 0;
}

static INLINE int is_method(u32 word)
{
	switch (net32(word)) {
	case 0x47455420: /* "GET " */
	case 0x504f5354: /* "POST" */
	case 0x48454144: /* "HEAD" */
	case 0x50555420: /* "PUT " */
	case 0x44454c45: /* "DELE" */
	case 0x4f505449: /* "OPTI" */
	case 0x50415443: /* "PATC" */
	case 0x434f4e4e: /* "CONN" */
	case 0x50524f50: /* "PROP" */
		return 1;
	}
	return 0;
}

/* What begins so: SIDE_TLS, SIDE_HTTP, or 0. Whoever sends one byte first is believed on that. */
static INLINE u16 kind_of_stream(struct context *c)
{
	union {
		u8 byte[4];
		u32 word;
	} begin = {.word = 0};

	if (c->packet->payload < 4) {
		if (skb_load(c->skb, c->packet->at, &begin, 1))
			return 0;
		if (begin.byte[0] == 0x16)
			return SIDE_TLS;
		return begin.byte[0] >= 'C' && begin.byte[0] <= 'P' ? SIDE_HTTP : 0;
	}
	if (skb_load(c->skb, c->packet->at, &begin, 4))
		return 0;
	if (begin.byte[0] == 0x16 && begin.byte[1] == 3)
		return SIDE_TLS;
	return is_method(begin.word) ? SIDE_HTTP : 0;
}

/* Bytes from the first one of the record to the end of its ClientHello; 0 where it is none.
 * A hello that is longer than its record goes on in more of them. */
static INLINE u32 hello_length(struct context *c, u32 offset)
{
	u64 begin = 0; /* bytes 3 to 8 of the stream: length of the record, type and length of the message */
	u32 record, hello;

	if (skb_load(c->skb, c->packet->at + 3 - offset, &begin, 6))
		return 0;
	begin = net64(begin);
	if ((begin >> 40 & 0xff) != 1)
		return 0;
	record = begin >> 48;
	hello = (begin >> 16 & 0xffffff) + 4;
	hello += hello > record ? 5 + RECORDS : 5;
	return hello > HELLO ? HELLO : hello;
}

static INLINE int ends_request(struct context *c)
{
	u32 end = 0;

	if (c->packet->payload < 4 || skb_load(c->skb, c->packet->at + c->packet->payload - 4, &end, 4))
		return 0;
	return end == net32(0x0d0a0d0a);
}

/* A big-endian number of two bytes at this place of the packet; beyond any length where there is none. */
static INLINE u32 number_at(struct context *c, u32 at)
{
	u16 number;

	return skb_load(c->skb, at, &number, 2) ? 1 << 16 : net16(number);
}

static INLINE u32 byte_at(struct context *c, u32 at)
{
	u8 byte;

	return skb_load(c->skb, at, &byte, 1) ? 1 << 16 : byte;
}

/* Where the extensions begin of a ClientHello that ends at `end`, in one record; 0: it is not as usual. RFC 8446, 4.1.2. */
static INLINE u32 extensions_at(struct context *c, u32 at, u32 end)
{
	u32 size;

	if (number_at(c, at + 3) != end - at - 5 || byte_at(c, at + 9) != 3)
		return 0;
	at += 5 + 4 + 2 + 32;
	size = byte_at(c, at);
	if (size > 32)
		return 0;
	at += 1 + size;
	size = number_at(c, at); /* cipher suites */
	if (!size || size & 1 || size >> 16)
		return 0;
	at += 2 + size;
	size = byte_at(c, at); /* compression methods */
	if (!size || size >> 16)
		return 0;
	at += 1 + size;
	return at + 2 + number_at(c, at) == end ? at + 2 : 0;
}

/* Copies `size` bytes from `at` on behind the `used` ones that are there; how many those are then. 0: it cannot.
 * `most` is a power of two, and what is longer never comes here. Of the mask: see send_payload. */
static INLINE u32 append(struct context *c, struct record *r, u32 used, u32 at, u32 size, const u32 most)
{
	u64 masked;

	*(volatile u16 *)&r->event.length = size - 1;
	masked = (*(volatile u16 *)&r->event.length & (most - 1)) + 1;
	return skb_load(c->skb, at, r->data + used, masked) ? 0 : used + masked;
}

/* 1 where they are equal, else 0, without a branch: the verifier would go both ways, for each extension anew. */
static INLINE u32 equal(u32 one, u32 other)
{
	u32 difference = one ^ other; /* of 16 bits */

	asm volatile("" : "+r"(difference));
	return (difference - 1) >> 31;
}

#define PLACE_NAME 1      /* server_name, RFC 6066 */
#define PLACE_PROTOCOLS 2 /* application_layer_protocol_negotiation, RFC 7301 */
#define PLACE_ECH 3       /* encrypted_client_hello, RFC 9849 */

/* Where an extension of this kind is kept; 0: what nobody wants. */
static INLINE u32 place_of(u32 kind)
{
	return equal(kind, 0) * PLACE_NAME + equal(kind, 16) * PLACE_PROTOCOLS + equal(kind, 0xfe0d) * PLACE_ECH;
}

/* Goes through the extensions between `at` and `end`; 0 where that is not as usual. */
static INLINE int walk_extensions(struct context *c, volatile struct walk *walk, u32 at, u32 end)
{
	walk->at = at;
	for (int i = 0; i < 4; i++)
		walk->found[i].times = walk->found[i].size = 0;
#pragma clang loop unroll(disable)
	for (int i = 0; i < EXTENDED; i++) {
		u16 head[2]; /* kind, length */
		u32 place;
		at = walk->at;
		if (at + 4 > end || skb_load(c->skb, at, head, 4))
			break;
		place = place_of(net16(head[0])) & 3;
		walk->found[place].times++;
		walk->found[place].at = at + 4;
		walk->found[place].size = net16(head[1]);
		walk->at = at + 4 + net16(head[1]);
	}
	return walk->at == end;
}

/* Is it there at most once, and then neither empty nor longer than that? */
static INLINE int is_usual(volatile struct extension *found, u32 most)
{
	return found->times ? found->times == 1 && found->size - 1 < most : 1;
}

/* Sends what is wanted of a whole ClientHello, of `need` bytes from `at` on, and it is all that is ever sent of the
 * stream. 0: it is not as usual, and user space shall see for itself: it says what is wrong, and knows what is allowed
 * and rare. */
static INLINE int send_hello(struct context *c, struct settings *set, struct side *own, u32 at, u32 need)
{
	u32 end = at + need, used = sizeof(struct hello);
	struct record *r = record(c, EVENT_HELLO);
	volatile struct extension *name, *protocols, *ech;
	struct hello *said;

	if (!r)
		return 0;
	name = &r->walk.found[PLACE_NAME];
	protocols = &r->walk.found[PLACE_PROTOCOLS];
	ech = &r->walk.found[PLACE_ECH];
	at = extensions_at(c, at, end);
	if (!at || !walk_extensions(c, &r->walk, at, end))
		return 0;
	if (!is_usual(name, NAMED) || !is_usual(protocols, PROTOCOLS) || !is_usual(ech, HELLO))
		return 0;
	r->event.offset = 0;
	r->event.first = 1;
	said = (struct hello *)r->data;
	said->name = name->size;
	said->protocols = protocols->size;
	said->ech = ech->times && !byte_at(c, ech->at); /* the outer one of two has type 0 */
	if (name->times)
		used = append(c, r, used, name->at, name->size, NAMED);
	if (used && protocols->times)
		used = append(c, r, used, protocols->at, protocols->size, PROTOCOLS);
	if (!used)
		return 0;
	r->event.length = used;
	sent(c, own, ringbuf_output(&events, r, sizeof(struct event) + used, wakeup(set, EVENT_HELLO)));
	return 1;
}

/* Sends what is wanted of this segment. Those out of order are sent too: they do not come a second time. */
static INLINE void capture(struct context *c, struct side *own, const int down)
{
	struct packet *p = c->packet;
	u32 offset = p->sequence + !!(p->flags & TCP_SYN) - own->isn - 1, end = offset + p->payload, length;
	struct settings *set = settings();
	u16 event = down ? EVENT_INBOUND : EVENT_STREAM;

	if (!set || own->pieces >= (own->flags & SIDE_DNS ? MESSAGES : PIECES))
		goto done;
	if (!offset && !own->need) {
		u16 kind = own->flags & SIDE_OPENER ? kind_of_stream(c) : 0;
		if (!kind && is_with_name_server(c, own, down) && begins_dns(c, down))
			kind = SIDE_DNS;
		if (!(set->on & switch_of(kind, down)))
			goto done;
		own->flags |= kind;
		own->need = kind == SIDE_TLS ? HELLO : kind == SIDE_DNS && down ? ANSWERS : REQUEST;
	}
	if ((own->flags & (SIDE_TLS | SIDE_SIZED)) == SIDE_TLS && offset <= 3 && end >= 9) {
		u32 need = hello_length(c, offset);
		if (!need)
			goto done;
		own->need = need;
		own->flags |= SIDE_SIZED;
	}
	/* Before its beginning, nobody knows what it is. */
	if (!own->need && !(set->on & (own->flags & SIDE_OPENER ? SEND_TLS : SEND_DNS_ANSWERS)))
		return;
	length = own->need ? own->need : HELLO;
	if (offset >= length) {
		/* Behind the end; but before the beginning was seen this says nothing, and may be of an older connection. */
		if (own->need)
			goto done;
		return;
	}
	if (end <= own->seen)
		return; /* again */
	length -= offset;
	if (length > p->payload)
		length = p->payload;
	if (own->flags & SIDE_DNS || !(own->flags & SIDE_OPENER))
		event = down ? EVENT_DNS_ANSWERING : EVENT_DNS_ASKING;
	/* Behind pieces that were sent, user space has to see whether they agree, and may know the name already. A need of
	 * HELLO bytes is a bound, and says nothing of where the message ends. */
	if (!offset && !own->pieces && event == EVENT_STREAM && own->flags & SIDE_SIZED && length == own->need &&
	    length < HELLO && send_hello(c, set, own, p->at, length))
		goto done;
	send_payload(c, set, own, event, p->at, length, offset);
	if (offset <= own->seen)
		own->seen = offset + length;
	if (own->need && own->seen >= own->need)
		goto done;
	if (own->flags & SIDE_HTTP && ends_request(c))
		goto done;
	return;
done:
	own->flags |= SIDE_CAPTURED;
}

/* ---- TCP ---- */

static INLINE u32 elapsed(u32 then)
{
	u32 took = ticks() - then;

	return took ? took : 1;
}

/* What the acknowledgement in this packet says of the other side's segments. */
static INLINE void acknowledge(struct context *c, struct side *own, struct side *peer)
{
	struct packet *p = c->packet;
	u32 ack = p->acknowledged, sample = peer->sample, at = *(volatile u32 *)&peer->sample_at;

	if (!(own->flags & SIDE_ANSWERED) && peer->flags & SIDE_SYN && ack - peer->isn - 1 < 0x10000) {
		own->flags |= SIDE_ANSWERED;
		/* Data may have waited for the program; and which of two SYNs this answers, nobody knows. */
		if (peer->syns == 1 && (p->flags & TCP_SYN || !p->payload))
			own->handshake = elapsed(peer->syn_at);
	}
	if (at && sample != own->sample_done && (s32)(ack - sample) >= 0) {
		u32 took = elapsed(at);
		own->sample_done = sample;
		if (took < SAMPLE_MOST)
			own->srtt8 = own->srtt8 ? own->srtt8 - (own->srtt8 >> 3) + took : took << 3;
	}
	if (peer->flags & SIDE_FIN && (s32)(ack - peer->next) > 0)
		own->flags |= SIDE_SAW_FIN;
}

/* Payload or FIN: new, or once more? */
static INLINE void advance(struct context *c, struct side *own, struct side *peer, int is_later)
{
	struct packet *p = c->packet;
	u32 end = p->sequence + !!(p->flags & TCP_SYN) + p->payload;
	int known = own->flags & (SIDE_SYN | SIDE_DATA);

	if (p->payload && known && (s32)(end - own->next) <= 0) {
		if (p->payload > 1 || end != own->next) { /* else it asks whether the other side is alive */
			own->retransmits += p->pieces;
			own->sample_at = 0; /* whichever is acknowledged now, its time tells nothing */
		}
	} else if (p->payload) {
		if (own->flags & SIDE_TOLD) { /* it goes on sending: that RST was somebody else's */
			own->flags &= ~(SIDE_RST | SIDE_TOLD);
			c->stats->over--;
		}
		/* Two readings of the exact clock cost as much as all the rest: one sample for each tick is enough. */
		if (!own->sample_at || (is_later && peer->sample_done == own->sample)) {
			*(volatile u32 *)&own->sample_at = 0; /* no other CPU takes the new end with the old time */
			*(volatile u32 *)&own->sample = end;
			*(volatile u32 *)&own->sample_at = ticks() | 1;
		}
	}
	if (!known || (s32)(end - own->next) > 0)
		own->next = end;
	if (p->payload)
		own->flags |= SIDE_DATA;
	if (p->flags & TCP_FIN)
		own->flags |= SIDE_FIN;
}

static INLINE void synchronize(struct context *c, struct side *own, const int down)
{
	struct packet *p = c->packet;

	if (!(own->flags & SIDE_SYN)) {
		own->flags |= p->flags & TCP_ACK ? SIDE_SYN : SIDE_SYN | SIDE_OPENER;
		if (p->flags & TCP_ACK && !is_with_name_server(c, own, down)) /* what is answered, is read of no other */
			own->flags |= SIDE_CAPTURED;
		own->isn = p->sequence;
		own->next = p->sequence + 1;
		own->syn_at = ticks();
		own->ttl = p->ttl;
	}
	if (own->syns < 255)
		own->syns++;
}

static INLINE void reset(struct context *c, struct side *own)
{
	if (!own->resets)
		own->ttl_reset = c->packet->ttl;
	if (own->resets < 255)
		own->resets++;
	own->flags |= SIDE_RST;
}

static INLINE void follow_tcp(struct context *c, struct flow *flow, struct side *own, struct side *peer, int is_later,
			      const int down)
{
	struct packet *p = c->packet;
	u16 told = (own->flags | peer->flags) & SIDE_TOLD;

	if (p->flags & TCP_ACK)
		acknowledge(c, own, peer);
	if (p->flags & TCP_RST) {
		reset(c, own);
	} else {
		if (p->flags & TCP_SYN)
			synchronize(c, own, down);
		if (p->payload && unlikely((own->flags & (SIDE_SYN | SIDE_CAPTURED)) == SIDE_SYN))
			capture(c, own, down);
		if (p->payload || p->flags & TCP_FIN)
			advance(c, own, peer, is_later);
		if (!(own->flags & peer->flags & SIDE_SAW_FIN))
			return;
	}
	if (!told)
		send_over(c, flow, own);
	if (!(p->flags & TCP_RST))
		map_delete(&flows, c->key);
	else if (!told) /* it stays for a while: what is under way would look like a connection without beginning */
		own->flags |= SIDE_TOLD;
}

/* ---- UDP ---- */

/* Is what stands there the Initial packet of a client, in a version of QUIC that we can read? RFC 9000, RFC 9369. */
static INLINE int is_initial(struct context *c, u32 at)
{
	u64 begin; /* flags, version, and what does not matter here */
	u32 version, flags;

	if (skb_load(c->skb, at, &begin, 8))
		return 0;
	begin = net64(begin);
	flags = begin >> 60;
	version = begin >> 24;
	return (version == 1 && flags == 0xc) || (version == 0x6b3343cf && flags == 0xd);
}

static INLINE void follow_udp(struct context *c, struct side *own, struct side *peer, const int down)
{
	struct packet *p = c->packet;
	int dns = c->key->remote_port == net16(PORT_DNS);
	u32 size = p->payload, at = p->at, left = p->payload;
	struct settings *set;

	/* The first full answer of a server says that it has the whole ClientHello. */
	if (dns ? left < DNS_HEADER : down || left < QUIC_LEAST || own->pieces >= INITIALS || peer->bytes >= QUIC_LEAST)
		return;
	set = settings();
	if (!set || !(set->on & (!dns ? SEND_QUIC : down ? SEND_DNS_ANSWERS : SEND_DNS_QUERIES)))
		return;
	if (p->pieces > 1 && c->skb->gso_size)
		size = c->skb->gso_size;
	/* Datagrams may come merged; those of a ClientHello that needs two most of all. */
#pragma clang loop unroll(disable)
	for (int i = 0; i < 3; i++) {
		u32 length = left < size ? left : size;
		u16 kind = dns ? down ? EVENT_DNS_ANSWER : EVENT_DNS_QUERY : EVENT_QUIC;
		if (length < DNS_HEADER || (!dns && (length < QUIC_LEAST || !is_initial(c, at))))
			return;
		send_payload(c, set, own, kind, at, length > DATAGRAM ? DATAGRAM : length, 0);
		at += length;
		left -= length;
	}
}

/* ---- flows ---- */

/* Does this packet begin the flow anew? The same ports come again, or both sides open at once. */
static INLINE int restarts(struct packet *p, struct side *own, struct side *peer)
{
	if ((p->flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) != TCP_SYN)
		return 0;
	if (own->flags & SIDE_SYN)
		return own->isn != p->sequence;
	return (own->flags | peer->flags) & SIDE_DATA || !(peer->flags & SIDE_SYN);
}

/* What can be told of a connection that is met in its middle begins with data; the last words of one that is already
 * forgotten would look like another. */
static INLINE int begins(struct packet *p)
{
	if (p->protocol == UDP)
		return 1;
	if (p->flags & TCP_RST)
		return 0;
	return p->flags & TCP_SYN ? !(p->flags & TCP_FIN) : p->payload > 0;
}

/* A group, or a broadcast? */
static INLINE int is_for_many(const union address *to)
{
	return to->byte[0] == 0xff || (!to->half[0] && to->word[2] == net32(0xffff) && net32(to->word[3]) >= 0xe0000000);
}

static INLINE struct flow *begin(struct context *c, const int down)
{
	struct packet *p = c->packet;
	struct flow fresh, *flow;

	__builtin_memset(&fresh, 0, sizeof(fresh));
	fresh.first = ktime_ns();
	fresh.ifindex = c->skb->ifindex;
	if (asked(ethernet))
		skb_load(c->skb, down ? 0 : 6, fresh.mac, 6);
	if (p->protocol == TCP && (p->flags & (TCP_SYN | TCP_ACK)) != TCP_SYN)
		fresh.flags = FLOW_MID;
	if (!map_update(&flows, c->key, &fresh, UPDATE_NOEXIST))
		c->stats->begun++;
	flow = map_lookup(&flows, c->key); /* the other direction may have been quicker */
	if (!flow)
		c->stats->full++;
	return flow;
}

static INLINE void follow(struct context *c, const int down)
{
	struct packet *p = c->packet;
	struct flow *flow = map_lookup(&flows, c->key);
	struct side *own, *peer;
	u32 now;
	int is_later;

	if (flow && unlikely(p->flags & TCP_SYN)) {
		own = down ? &flow->down : &flow->up;
		peer = down ? &flow->up : &flow->down;
		if (restarts(p, own, peer)) {
			if (!((own->flags | peer->flags) & SIDE_TOLD))
				send_over(c, flow, own);
			map_delete(&flows, c->key);
			flow = 0;
		}
	}
	if (unlikely(!flow)) {
		if (is_for_many(down ? &c->key->client : &c->key->remote)) { /* that is nobody's connection */
			c->stats->other++;
			return;
		}
		if (!begins(p)) {
			c->stats->stray++;
			return;
		}
		flow = begin(c, down);
		if (!flow)
			return;
	}
	own = down ? &flow->down : &flow->up;
	peer = down ? &flow->up : &flow->down;
	own->bytes += p->total + (p->pieces - 1) * (p->at - p->network);
	own->packets += p->pieces;
	now = roughly_now();
	is_later = own->last != now;
	if (is_later)
		own->last = now;
	if (likely(p->protocol == TCP))
		follow_tcp(c, flow, own, peer, is_later, down);
	else
		follow_udp(c, own, peer, down);
}

static INLINE int inspect(struct __sk_buff *skb, const int down)
{
	u32 zero = 0;
	struct stats *stats = map_lookup(&counts, &zero);
	struct packet packet = {}; /* what is not read on a way is nothing, not what a register had */
	struct key key;
	struct context context = {skb, &packet, &key, stats};
	enum found found;

	if (unlikely(!stats))
		return GO_ON;
	stats->packets++;
	found = parse_plain(skb, &packet, &key, down);
	if (unlikely(found == OTHER))
		found = parse(skb, stats, &packet, &key, down);
	if (likely(found == USABLE))
		follow(&context, down);
	else if (found == OTHER)
		stats->other++;
	else if (found == FRAGMENT)
		stats->fragments++;
	else
		stats->malformed++;
	return GO_ON;
}

SECTION("tc/up") int up(struct __sk_buff *skb) { return inspect(skb, 0); }
SECTION("tc/down") int down(struct __sk_buff *skb) { return inspect(skb, 1); }

_Static_assert(sizeof(struct key) == 40, "layout.py");
_Static_assert(sizeof(struct side) == 64, "layout.py");
_Static_assert(sizeof(struct flow) == 168, "layout.py");
_Static_assert(sizeof(struct event) == 64, "layout.py");
_Static_assert(sizeof(struct told) == 32, "layout.py");
_Static_assert(sizeof(struct over) == 104, "layout.py");
_Static_assert(sizeof(struct hello) == 8, "layout.py");
_Static_assert(sizeof(struct stats) == 88, "layout.py");
