/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 *
 * The part of the kernel's BPF interface that npflow.bpf.c uses, so that no kernel headers are needed to build it:
 * numbers and layouts of <linux/bpf.h>, which the kernel promises never to change.
 */
#ifndef NPFLOW_H
#define NPFLOW_H

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef signed int s32;
typedef unsigned long long u64;
typedef signed long long s64;

#define SECTION(name) __attribute__((section(name), used))
#define INLINE inline __attribute__((always_inline))
/* What nearly every packet meets lies in one row, so that few lines of the processor's cache hold it. */
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* enum bpf_map_type */
#define MAP_ARRAY 2
#define MAP_PERCPU_ARRAY 6
#define MAP_LRU_HASH 9
#define MAP_RINGBUF 27

/* flags of map_update and of ringbuf_output, and what ringbuf_query is asked */
#define UPDATE_ANY 0
#define UPDATE_NOEXIST 1
#define RING_NO_WAKEUP 1
#define RING_FORCE_WAKEUP 2
#define RING_AVAILABLE 0

/* TC_ACT_UNSPEC, TCX_NEXT: this program has no opinion, the next one is asked */
#define GO_ON (-1)

/* Context of a tc program; the last field came with Linux 5.7. */
struct __sk_buff {
	u32 len, pkt_type, mark, queue_mapping, protocol, vlan_present, vlan_tci, vlan_proto, priority;
	u32 ingress_ifindex, ifindex, tc_index, cb[5], hash, tc_classid, data, data_end, napi_id;
	u32 family, remote_ip4, local_ip4, remote_ip6[4], local_ip6[4], remote_port, local_port, data_meta;
	u64 flow_keys, tstamp;
	u32 wire_len, gso_segs;
	u64 sk;
	u32 gso_size;
};

/* A map of the section `maps`: 20 bytes that a loader reads as five numbers. */
struct map {
	u32 type, key, value, entries, flags;
};

static void *(*map_lookup)(void *map, const void *key) = (void *)1;
static s64 (*map_update)(void *map, const void *key, const void *value, u64 flags) = (void *)2;
static s64 (*map_delete)(void *map, const void *key) = (void *)3;
static u64 (*ktime_ns)(void) = (void *)5;
static s64 (*skb_load)(const void *skb, u32 offset, void *to, u32 length) = (void *)26;
static u64 (*ktime_coarse_ns)(void) = (void *)160; /* Linux 5.11 */
static s64 (*ringbuf_output)(void *ring, void *data, u64 size, u64 flags) = (void *)130;
static u64 (*ringbuf_query)(void *ring, u64 what) = (void *)134;

/* The target's byte order is known when it is compiled: -target bpfel or bpfeb. */
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define net16(x) ((u16)(__builtin_constant_p(x) ? (u16)(((x) & 0xff) << 8 | ((x) >> 8 & 0xff)) : __builtin_bswap16(x)))
#define net32(x) ((u32)__builtin_bswap32(x))
#define net64(x) ((u64)__builtin_bswap64(x))
#else
#define net16(x) ((u16)(x))
#define net32(x) ((u32)(x))
#define net64(x) ((u64)(x))
#endif

#endif
