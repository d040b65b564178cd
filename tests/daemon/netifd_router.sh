#!/bin/sh
# OpenWrt's programs laid over this machine's, in a mount namespace that lasts as long as this script.
#
#   unshare --mount sh netifd_router.sh ROOT FOLDER
#
# ROOT (OpenWrt's files) is only read; FOLDER has etc/, whose folders stand in the place of those in /etc, and run/.
# Begun by netifd_router.py, inside the network namespace of the router.

set -eu
root=$1 folder=$2

mount --make-rprivate /
mount -t sysfs sysfs /sys
for name in bin sbin lib share; do
	over=
	for place in "$root/$name" "$root/usr/$name"; do
		# The compiler's and the linker's files stay this machine's.
		if [ -d "$place" ] && [ "$place" != "$root/usr/lib" ]; then
			over=$over$place:
		fi
	done
	if [ -n "$over" ]; then
		mount -t overlay overlay -o "ro,lowerdir=$over/usr/$name" "/usr/$name"
	fi
done
mount -t overlay overlay -o "ro,lowerdir=$folder/etc:$root/etc:/etc" /etc
for name in config hotplug.d; do
	mount --bind "$folder/etc/$name" "/etc/$name"
done
mount --bind "$folder/run" /run
echo ready
exec sleep 3600
