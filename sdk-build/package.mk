# What the packages say about themselves. Read by openwrt.mk (make) and by ipk.py, which
# understands exactly this: `NAME:=value` on one line, a trailing backslash continues it.
# The version is netpolicy/__init__.py's; the release counts rebuilds of the same version.

NETPOLICY_RELEASE:=1
NETPOLICY_LICENSE:=Apache-2.0
NETPOLICY_SECTION:=net
NETPOLICY_TITLE:=Programmable network policy engine
NETPOLICY_DESCRIPTION:=Rules decide which connection leaves by which line. The kernel carries \
	the packets (nftables, policy routing), a Python daemon carries the reasons: health of the \
	lines, counters, and an answer to "why did this connection go there". Does nothing until \
	it is enabled in /etc/config/netpolicy.

# The light profile: Python's standard library as OpenWrt splits it, and the kernel tools.
# python3-asyncio needs python3-logging without saying so. kmod-nf-conntrack-netlink carries
# the live list of connections.
NETPOLICY_DEPENDS:=python3-light python3-asyncio python3-logging python3-urllib \
	nftables-json ip-full kmod-nft-core kmod-nf-conntrack-netlink ca-bundle

# The full profile adds these; the daemon uses what it finds.
NETPOLICY_FULL_TITLE:=Programmable network policy engine (full profile)
NETPOLICY_FULL_DEPENDS:=python3-codecs python3-openssl python3-ctypes python3-yaml \
	python3-jinja2 python3-pyroute2 python3-ubus python3-uci
