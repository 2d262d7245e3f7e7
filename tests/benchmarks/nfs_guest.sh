#!/bin/bash
# The first process of a guest of nfs.py: its network, the NFS mount, an sshd; until there is a file named quit.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
for place in /run /dev/shm /root; do mount -t tmpfs tmpfs $place; done
for word in $(cat /proc/cmdline); do
  case $word in name=*) name=${word#name=} ;; address=*) address=${word#address=} ;; rig=*) rig=${word#rig=} ;; esac
done
hostname "$name"
ip link set lo up
ip link set vec0 up
ip addr add "$address/24" dev vec0
modprobe -d "$rig" nfsv4
mkdir -p /run/sshd
mount -t nfs4 -o vers=4.1,proto=tcp 10.77.0.1:/x "$rig/shared" && /usr/sbin/sshd -f "$rig/sshd" && touch "$rig/up.$name"
until [ -e "$rig/quit" ]; do sleep 0.2; done
umount -f "$rig/shared"
echo o >/proc/sysrq-trigger
sleep 5
