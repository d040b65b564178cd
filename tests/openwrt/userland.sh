#!/bin/sh
# OpenWrt's programs over this machine's, in a mount and pid namespace that dies with this script.
#
#   unshare --mount --pid --fork --kill-child sh userland.sh ROOT WORK REPOSITORY
#
# ROOT (OpenWrt's files) is never written: what is written lies in memory. Begun by userland.py, which
# has made the network namespace. Ends when it is killed.

set -eu
root=$1 work=$2 repository=$3

mount --make-rprivate /
mount -t tmpfs tmpfs "$work"
mkdir "$work/up" "$work/upusr" "$work/wk" "$work/wkusr" "$work/mnt"
mnt=$work/mnt
mount -t overlay overlay -o "lowerdir=$root,upperdir=$work/up,workdir=$work/wk" "$mnt"
mount -t overlay overlay -o "lowerdir=$root/usr:/usr,upperdir=$work/upusr,workdir=$work/wkusr" "$mnt/usr"
mount -t proc proc "$mnt/proc"
mount -t sysfs sysfs "$mnt/sys"
mount -t tmpfs -o mode=755 tmpfs "$mnt/dev"
for name in null zero full random urandom tty; do
	: >"$mnt/dev/$name"
	mount --bind "/dev/$name" "$mnt/dev/$name"
done
mount -t tmpfs tmpfs "$mnt/tmp"
mkdir -p "$mnt/repository"
mount --bind "$repository" "$mnt/repository"
mount -o remount,ro,bind "$mnt/repository"

# The page and its permissions as the package installs them, the guard likewise.
cp -r "$mnt/repository/luci-app-netpolicy/htdocs/." "$mnt/www/"
cp -r "$mnt/repository/luci-app-netpolicy/root/." "$mnt/"
mkdir -p "$mnt/usr/lib/netpolicy" "$mnt/tmp/run/ubus" "$mnt/tmp/lock" "$mnt/tmp/.uci" "$mnt/tmp/sysinfo"
echo "a router in namespaces" >"$mnt/tmp/sysinfo/model"
echo "netpolicy,test" >"$mnt/tmp/sysinfo/board_name"
cp "$mnt/repository/files/usr/lib/netpolicy/guard" "$mnt/usr/lib/netpolicy/guard"
cp "$work.config" "$mnt/etc/config/netpolicy"
# As on a router that nobody has set up: root has no password.
sed -i 's/^root:[^:]*:/root::/' "$mnt/etc/shadow"

# procd tells LuCI of the board. It is not the first process here, and may do nothing to the machine.
denied=-sys_time,-sys_module,-sys_rawio,-sys_boot
exec setpriv --bounding-set "$denied" --inh-caps "$denied" chroot "$mnt" /bin/sh -c '
	export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root PYTHONPATH=/repository PYTHONDONTWRITEBYTECODE=1
	cd /
	ubusd &
	until [ -S /var/run/ubus/ubus.sock ]; do sleep 0.05; done
	procd -S &
	rpcd -s /var/run/ubus/ubus.sock -t 30 &
	until ubus -S list session >/dev/null 2>&1 && ubus -S list system >/dev/null 2>&1; do sleep 0.05; done
	uhttpd -f -h /www -r OpenWrt -x /cgi-bin -u /ubus -o /cgi-bin/luci -O /usr/share/ucode/luci/uhttpd.uc \
		-t 60 -T 30 -k 20 -n 3 -N 100 -p 0.0.0.0:80 -p "[::]:80" &
	python3 -m netpolicy.daemon.main --config /etc/config/netpolicy --foreground &
	wait
'
