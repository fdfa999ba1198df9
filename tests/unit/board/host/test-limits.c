/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The limits of a machine's description, each at its edge: a change to the good machine that has
 * a number in it, the last number that passes, and the first that is refused with one error.
 */
#include "tests/unit/helpers/unit.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "hyp/base/util.h"
#include "tests/unit/helpers/tree-source.h"

/* Bits of addresses, address space and its longest stretch, slots, vCPUs; and what a row is about. */
#define HOST(bits, space, run, slots, cpus, ...) { bits, space, run, 4 * KiB, slots, cpus, __VA_ARGS__ }

static const struct host_limits ipa36 = HOST(36, 256 * TiB, 0, 32767, 512, .gicv3 = true);
static const struct host_limits gicv2 = HOST(48, 256 * TiB, 0, 32767, 512, .gicv2 = true);
static const struct host_limits vcpus4 = HOST(48, 256 * TiB, 0, 32767, 4, .gicv3 = true);
static const struct host_limits cpus4 = HOST(48, 256 * TiB, 0, 32767, 512, .gicv3 = true, .cpus = 4);
static const struct host_limits cpus2048 = HOST(48, 256 * TiB, 0, 32767, 512, .gicv3 = true, .cpus = 2048);
static const struct host_limits space5 = HOST(48, 5 * GiB, 0, 32767, 512, .gicv3 = true);
static const struct host_limits run4 = HOST(48, 256 * TiB, 4 * GiB, 32767, 512, .gicv3 = true);
static const struct host_limits slots33 = HOST(48, 256 * TiB, 0, 33, 512, .gicv3 = true);
static const struct host_limits stolen_slots33 = HOST(48, 256 * TiB, 0, 33, 512, .gicv3 = true, .cpu_features = 1 << CPU_STOLEN_TIME);
static const struct host_limits slots10 = HOST(48, 256 * TiB, 0, 10, 512, .gicv3 = true, .vhost_regions = 33);
static const struct host_limits regions33 = HOST(48, 256 * TiB, 0, 32767, 512, .gicv3 = true, .vhost_regions = 33);
static const struct host_limits stolen33 = HOST(48, 256 * TiB, 0, 32767, 512, .gicv3 = true, .vhost_regions = 33, .cpu_features = 1 << CPU_STOLEN_TIME);

#define DEVICE(properties)  "/ { dev0 { compatible = \"sluice," properties " }; };"
#define CARD(name, pairs)   "/ { " name " { compatible = \"sluice,virtio-net\"; tap = \"" name "\"; queue-pairs = <" pairs ">; vhost; }; };"
#define SLOTS_OF_128M	    "&growth { reg = <0x1 0x0 $$>; }; &vmem0 { slot-size = /bits/ 64 <0x8000000>; };"
#define FIRMWARE	    "&chosen { /delete-property/ sluice,kernel; sluice,firmware = \"f\"; sluice,flash = \"v\"; };"
#define VSOCK		    "/ { vsock0 { compatible = \"sluice,virtio-vsock\"; cid = <3>; }; };"
#define WINDOW_TO(n, place) "&reserved { w" n ": w" n " { " place " no-map; }; }; / { vmem" n ": vmem" n " { compatible = \"sluice,virtio-mem\"; memory-region = <&w" n ">; }; };"
#define PLACED(place)	    "&growth { /delete-property/ reg; " place " };"

/*
 * In `change`, $ is the number in hexadecimal, $$ the same in two cells, ~ the piece, as many times
 * as the number says. In the piece, % counts from 0 in three hexadecimal digits.
 */
static const struct edge {
	const char *name, *change, *piece;
	uint64_t last, first;
	const char *says; /* how the error begins, or a part of it */
	const struct host_limits *host; /* NULL: big_host */
} edges[] = {
	/* The root, /chosen, CPUs. */
	{ "bootargs", "&chosen { bootargs = \"~\"; };", "x", 2047, 2048, "/chosen: bootargs: 2048 bytes, and Linux takes at most 2047" },
	{ "phandles-above", "/ { other { phandle = <$>; }; };", NULL, 0xffffffef, 0xfffffff0, "/: a phandle is above" },
	{ "mpidr-in-cluster", "&cpus { cpu@1 { reg = <$>; }; };", NULL, 0xf, 0x10, "/cpus/cpu@1: reg: 0x10 is no MPIDR of KVM's" },
	{ "mpidr-clusters", "&cpus { cpu@1 { reg = <$>; }; };", NULL, 0x1f0f, 0x2000, "/cpus/cpu@1: reg: 0x2000 is no MPIDR of KVM's" },
	{ "mpidr-two-cells", "&cpus { #address-cells = <2>; cpu@1 { reg = <$$>; }; }; &cpu0 { reg = <0 0>; };", NULL, 0x1f0f, 0x100000000, "/cpus/cpu@1: reg: 0x100000000 is no MPIDR of KVM's" },
	{ "mpidr-gicv2", "&cpus { cpu@1 { reg = <$>; }; };", NULL, 7, 8, "/cpus/cpu@1: reg: 0x8, and the machine has a GICv2", &gicv2 },
	{ "cpus-of-kvm", "/delete-node/ &cpu0; &cpus { ~ };", "cpu@% { reg = <0x%>; }; ", 4, 5, "/cpus: 5 CPUs, and KVM on this host gives a machine at most 4", &vcpus4 },
	{ "host-cpus", "&cpu0 { sluice,host-cpus = <0 $>; };", NULL, 3, 4, "/cpus/cpu@0: sluice,host-cpus: 4 is no number of a host CPU: these are 0 to 3", &cpus4 },
	{ "host-cpus-unknown", "&cpu0 { sluice,host-cpus = <$>; };", NULL, 1023, 1024, "/cpus/cpu@0: sluice,host-cpus: 1024 is no number of a host CPU: these are 0 to 1023" },
	{ "host-cpus-beyond-a-set", "&cpu0 { sluice,host-cpus = <$>; };", NULL, 1023, 1024, "/cpus/cpu@0: sluice,host-cpus: 1024 is", &cpus2048 },
	{ "host-cpus-bytes", "&cpu0 { sluice,host-cpus = [~]; };", " 00", 4, 5, "/cpus/cpu@0: sluice,host-cpus: write the numbers" },
	{ "host-cpus-empty", "&cpu0 { sluice,host-cpus = [~]; };", " 00", 4, 0, "/cpus/cpu@0: sluice,host-cpus: write the numbers" },
	{ "rt-priority-high", "&cpu0 { sluice,rt-priority = <$>; };", NULL, 99, 100, "/cpus/cpu@0: sluice,rt-priority: 100 is no priority" },
	{ "rt-priority-low", "&cpu0 { sluice,rt-priority = <$>; };", NULL, 1, 0, "/cpus/cpu@0: sluice,rt-priority: 0 is no priority" },
	{ "cpus-address-cells", "&cpus { #address-cells = <$>; }; &cpu0 { reg = <0>; };", NULL, 1, 3, "/cpus: #address-cells: write" },
	{ "cpus-address-cells-none", "&cpus { #address-cells = <$>; }; &cpu0 { reg = <0>; };", NULL, 1, 0, "/cpus: #address-cells: write" },
	{ "cpus-size-cells", "&cpus { #size-cells = <$>; };", NULL, 0, 1, "/cpus: #size-cells: write #size-cells = <0>" },
	{ "cpus-size-cells-far", "&cpus { #size-cells = <$>; };", NULL, 0, 3, "/cpus: #size-cells: write #size-cells = <0>" },
	{ "root-cells", "/ { #size-cells = <$>; };", NULL, 2, 3, "/: #size-cells: write" },
	{ "root-cells-low", "/ { #address-cells = <$>; };", NULL, 2, 0, "/: #address-cells: write" },

	/* Memory. */
	{ "memory-ranges", "/ { ~ };", "memory@4%000000 { reg = <0x4 0x%000000 0x0 0x200000>; }; ", 31, 32, "/memory@401f000000: reg: more than 32 ranges of memory" },
	{ "memory-ranges-of-a-node", "&memory { reg = <0x0 0x40000000 0x0 0x20000000~>; };", " 0x4 0x%000000 0x0 0x200000", 31, 32, "/memory@40000000: reg: 33 ranges, at most 32 are possible" },
	{ "memory-size-aligned", "&memory { reg = <0x0 0x40000000 $$>; };", NULL, 0x20200000, 0x20100000, "/memory@40000000: reg: memory 0x40000000+0x20100000 (513 MiB) is not aligned to 2 MiB" },
	{ "memory-start-aligned", "/ { memory@80 { reg = <$$ 0x0 0x200000>; }; };", NULL, 0x60200000, 0x60100000, "/memory@80: reg: memory 0x60100000+0x200000 (2 MiB) is not aligned to 2 MiB" },
	{ "memory-below", "/ { memory@80 { reg = <$$ 0x0 0x200000>; }; };", NULL, 0x60000000, 0x3fe00000, "/memory@80: reg: memory 0x3fe00000+0x200000 (2 MiB) begins below 0x40000000" },
	{ "memory-first", "&memory { reg = <$$ 0x0 0x200000>; };", NULL, 0x40000000, 0x40200000, "/memory@40000000: reg: memory begins at 0x40200000; the first range has to begin at 0x40000000" },
	{ "memory-overlaps-before", "/ { memory@80 { reg = <$$ 0x0 0x200000>; }; };", NULL, 0x60000000, 0x5fe00000, "/memory@80: reg: memory 0x5fe00000+0x200000 (2 MiB) overlaps /memory@40000000" },
	{ "memory-ends", "/ { memory@f00000000 { reg = <0xf 0x0 $$>; }; };", NULL, 4 * GiB, 4 * GiB + 2 * MiB, "/memory@f00000000: reg: memory 0xf00000000+0x100200000 (4098 MiB) ends beyond what this host's guests can address: 36 bits, 64 GiB", &ipa36 },
	{ "memory-wraps", "/ { memory@80 { reg = <$$ 0x0 0x200000>; }; };", NULL, 0x60000000, UINT64_MAX - 2 * MiB + 1, "/memory@80: reg: 0xffffffffffe00000+0x200000 goes beyond 64 bits" },

	/* Reserved ranges. */
	{ "reserved-behind-the-tree", FIRMWARE "&reserved { fw { reg = <$$ 0x0 0x1000>; }; };", NULL, 0x401e0000, 0x401dffff, "/reserved-memory/fw: reg: reserved 0x401dffff+0x1000 (4 KiB) overlaps the start of RAM" },
	{ "reserved-before-the-tree", FIRMWARE "&reserved { fw { reg = <0x0 0x3ffff000 $$>; }; };", NULL, 0x1000, 0x1001, "/reserved-memory/fw: reg: reserved 0x3ffff000+0x1001 (4097 bytes) overlaps the start of RAM" },
	{ "reserved-nodes", "&reserved { ~ };", "r% { reg = <0x8 0x%000 0x0 0x1000>; }; ", 63, 64, "/reserved-memory/r03f: more than 64 reserved ranges" },
	{ "reserved-ranges", "&reserved { fw { reg = <~>; }; };", " 0x8 0x%000 0x0 0x1000", 63, 64, "/reserved-memory/fw: reg: more than 64 reserved ranges" },
	{ "reserved-ranges-of-a-node", "&reserved { /delete-node/ growth@100000000; fw { reg = <~>; }; }; /delete-node/ &vmem0;", " 0x8 0x%000 0x0 0x1000", 64, 65, "/reserved-memory/fw: reg: 65 ranges, at most 64 are possible" },
	{ "reserved-and-placed", PLACED("size = <0x1 0x0>;") "&reserved { fw { reg = <~>; }; };", " 0x8 0x%000 0x0 0x1000", 63, 64, "/reserved-memory/growth@100000000: reg: more than 64 reserved ranges" },
	{ "memreserves", "/memreserve/ 0x700000000 0x1000; ~", "/memreserve/ 0x8%000 0x1000; ", 62, 63, "/reserved-memory/growth@100000000: reg: more than 64 reserved ranges" },
	{ "reserved-wraps", "&reserved { fw { reg = <0xffffffff 0xfffff000 $$>; }; };", NULL, 0xfff, 0x1000, "/reserved-memory/fw: reg: 0xfffffffffffff000+0x1000 goes beyond 64 bits" },
	{ "memreserve-wraps", "/memreserve/ 0xfffffffffffff000 $;", NULL, 0xfff, 0x1000, "/: /memreserve/: 0xfffffffffffff000+0x1000 goes beyond 64 bits" },

	/* Windows. */
	{ "window-ends", "&growth { reg = <0x1 0x0 $$>; };", NULL, 60 * GiB, 60 * GiB + 2 * MiB, "/vmem0: memory-region: window 0x100000000+0xf00200000 (61442 MiB) ends beyond what this host's guests can address: 36 bits, 64 GiB. The largest that fits there is 60 GiB", &ipa36 },
	{ "window-behind-memory", "&memory { reg = <0x0 0x40000000 $$>; };", NULL, 0xc0000000, 0xc0200000, "/vmem0: memory-region: window 0x100000000+0x100000000 (4 GiB) overlaps /memory@40000000" },
	{ "window-before-window", "&growth { reg = <0x1 0x0 $$>; };" WINDOW_TO("1", "reg = <0x2 0x0 0x1 0x0>;"), NULL, 4 * GiB, 4 * GiB + 2 * MiB, "/vmem1: memory-region: window 0x200000000+0x100000000 (4 GiB) overlaps /reserved-memory/growth@100000000" },
	{ "window-below", "&growth { reg = <$$ 0x0 0x20000000>; };", NULL, 0x60000000, 0x20000000, "/vmem0: memory-region: window 0x20000000+0x20000000 (512 MiB) begins below RAM" },
	{ "window-aligned", "&growth { reg = <$$ 0x0 0x20000000>; };", NULL, 0x60000000, 0x70000000, "/vmem0: memory-region: window 0x70000000+0x20000000 (512 MiB) is not aligned to 512 MiB: 0x80000000 is the next" },
	{ "address-space", "&growth { reg = <0x1 0x0 $$>; };", NULL, 4608 * MiB, 4610 * MiB, "/vmem0: memory-region: memory and windows take 5122 MiB of address space, and a process on this host has 5 GiB", &space5 },
	{ "address-space-of-memory", "&growth { status = \"disabled\"; }; &vmem0 { status = \"disabled\"; }; &memory { reg = <0x0 0x40000000 $$>; };", NULL, 5 * GiB, 5 * GiB + 2 * MiB, "/memory: memory and windows take 5122 MiB", &space5 },
	{ "address-stretch", "&growth { reg = <0x1 0x0 $$>; };", NULL, 4 * GiB, 4098 * MiB, "/vmem0: memory-region: a window of 4098 MiB, and the longest free stretch of address space of a process on this host is 4 GiB", &run4 },

	/* Windows that Sluice places: 62.5 GiB are free behind RAM with 36 bits. */
	{ "place-all", PLACED("size = <$$>;"), NULL, 0xfa0000000, 0xfa0200000, "/reserved-memory/growth@100000000: size: no place for 64002 MiB aligned to 512 MiB that is free below 0x1000000000", &ipa36 },
	{ "place-all-within", PLACED("size = <$$>; alloc-ranges = <0x0 0x40000000 0x100 0x0>;"), NULL, 0xfa0000000, 0xfa0200000, "/reserved-memory/growth@100000000: size: no place for", &ipa36 },
	{ "place-within", PLACED("size = <0x0 0x40000000>; alloc-ranges = <0x2 0x0 $$>;"), NULL, 0x40000000, 0x3fffffff, "/reserved-memory/growth@100000000: size: no place for 1 GiB" },
	{ "place-larger-than-all", PLACED("size = <$$>;"), NULL, 4 * GiB, 65 * GiB, "/reserved-memory/growth@100000000: size: no place for 65 GiB", &ipa36 },
	{ "place-from-below-ram", PLACED("size = <0x0 0x20000000>; alloc-ranges = <0x0 0x0 $$>;"), NULL, 0x80000000, 0x7fffffff, "/reserved-memory/growth@100000000: size: no place for 512 MiB" },
	{ "place-ranges", PLACED("size = <0x1 0x0>; alloc-ranges = <~>;"), " 0x2 0x0 0x1 0x0", 8, 9, "/reserved-memory/growth@100000000: alloc-ranges: 9 ranges, at most 8 are possible" },
	{ "place-where-aligning-wraps", PLACED("size = <0x0 0x200000>; alloc-ranges = <$$ 0x0 0x8000000>;"), NULL, 0x200000000, 0xfffffffff0000000, "/reserved-memory/growth@100000000: size: no place for 2 MiB" },
	{ "place-alignment-zero", PLACED("size = <0x1 0x0>; alignment = <$$>;"), NULL, 1, 0, "/reserved-memory/growth@100000000: alignment: 0x0 is not a power of two" },

	/* Slots. */
	{ "slots-of-kvm", SLOTS_OF_128M, NULL, 32 * 128 * MiB, 32 * 128 * MiB + 2 * MiB, "/vmem0: memslots: the windows ask for 33 memory slots, and KVM on this host has, besides those of RAM, 32: /vmem0 33 of 128 MiB", &slots33 },
	{ "slots-beside-stolen-time", SLOTS_OF_128M, NULL, 31 * 128 * MiB, 32 * 128 * MiB, "/vmem0: memslots: the windows ask for 32 memory slots, and KVM on this host has, besides those of RAM, 31", &stolen_slots33 },
	{ "slots-without-stolen-time", "&cpus { sluice,stolen-time = \"off\"; };" SLOTS_OF_128M, NULL, 32 * 128 * MiB, 33 * 128 * MiB, "/vmem0: memslots: the windows ask for 33 memory slots, and KVM on this host has, besides those of RAM, 32", &stolen_slots33 },
	{ "slots-beside-two-of-memory", "/ { memory@60000000 { reg = <0x0 0x60000000 0x0 0x200000>; }; };" SLOTS_OF_128M, NULL, 31 * 128 * MiB, 32 * 128 * MiB, "/vmem0: memslots: the windows ask for 32 memory slots, and KVM on this host has, besides those of RAM, 31", &slots33 },
	{ "slots-of-vhost", VSOCK SLOTS_OF_128M, NULL, 32 * 128 * MiB, 33 * 128 * MiB, "/vmem0: memslots: the windows ask for 33 memory slots, and vhost on this host, which serves /vsock0, takes, besides those of RAM, 32", &regions33 },
	{ "slots-of-vhost-and-stolen-time", VSOCK SLOTS_OF_128M, NULL, 31 * 128 * MiB, 32 * 128 * MiB, "/vmem0: memslots: the windows ask for 32 memory slots, and vhost", &stolen33 },
	{ "slots-of-kvm-below-vhost's", VSOCK SLOTS_OF_128M, NULL, 9 * 128 * MiB, 10 * 128 * MiB, "/vmem0: memslots: the windows ask for 10 memory slots, and KVM on this host has, besides those of RAM, 9", &slots10 },
	{ "slots-of-all-windows", "&growth { reg = <0x1 0x0 0x80 0x0>; }; &vmem0 { memslots = <1024>; };" WINDOW_TO("1", "reg = <0x100 0x0 0x7f 0xe0000000>;") WINDOW_TO("2", "reg = <0x200 0x0 $$>;")
		"&vmem1 { memslots = <1023>; }; &vmem2 { memslots = <2>; };", NULL, 128 * MiB, 130 * MiB, "/vmem0: memslots: the windows ask for 2049 memory slots, and all windows without a slot-size may have 2048" },
	{ "vhost-workers", CARD("a1", "8") CARD("a2", "8") CARD("a3", "8") CARD("a4", "$"), NULL, 7, 8, "/a4: this machine would have more than 31 workers of vhost's" },
	{ "vhost-workers-reported-once", CARD("a1", "8") CARD("a2", "8") CARD("a3", "8") CARD("a4", "$") VSOCK, NULL, 6, 8, "/a4: this machine would have more than 31 workers of vhost's" },

	/* Devices. */
	{ "devices", "/ { ~ };", "rng% { compatible = \"sluice,virtio-rng\"; }; ", 31, 32, "/rng01f: more than 32 devices" },
	{ "ports", "/ { ports0 { compatible = \"sluice,virtio-console\"; ports = \"p\"~; }; };", ", \"q%\"", 6, 7, "/ports0: ports: takes 1 to 7 strings" },
	{ "port-name", "/ { ports0 { compatible = \"sluice,virtio-console\"; ports = \"~=null\"; }; };", "x", 64, 65, "/ports0: ports: \"xxxxx" },
	{ "memslots", "&vmem0 { memslots = <$>; };", NULL, 1024, 1025, "/vmem0: memslots: 1025 (0x401) is out of range: 0 to 1024" },
	{ "numa-node", "&vmem0 { numa-node-id = <$>; };", NULL, 65535, 65536, "/vmem0: numa-node-id: 65536 (0x10000) is out of range: 0 to 65535" },
	{ "block-of-a-page", "&vmem0 { block-size = /bits/ 64 <$>; };", NULL, 4 * KiB, 2 * KiB, "/vmem0: block-size: 0x800 is not a power of two of at least the host's page, 0x1000" },
	{ "block-power-of-two", "&vmem0 { block-size = /bits/ 64 <$>; };", NULL, 4 * MiB, 3 * MiB, "/vmem0: block-size: 0x300000 is not" },
	{ "slot-of-blocks", "&vmem0 { slot-size = /bits/ 64 <$>; };", NULL, 130 * MiB, 129 * MiB, "/vmem0: slot-size: 0x8100000 is not a multiple of the block" },
	{ "request-of-blocks", "&vmem0 { requested-size = /bits/ 64 <$>; };", NULL, 2 * MiB, 1 * MiB, "/vmem0: requested-size: 0x100000 is not a multiple" },
	{ "request-of-all", "&vmem0 { requested-size = /bits/ 64 <$>; };", NULL, 4 * GiB, 4 * GiB + 2 * MiB, "/vmem0: requested-size: 0x100200000 is more than the window's 0x100000000" },
	{ "window-of-blocks", "&growth { reg = <0x1 0x0 $$>; };", NULL, 4 * GiB + 2 * MiB, 4 * GiB + 1 * MiB, "/vmem0: memory-region: window 0x100000000+0x100100000 is not made of blocks" },
	{ "disk-queues", DEVICE("virtio-blk\"; file = \"x\"; queues = <$>;"), NULL, 8, 9, "/dev0: queues: 9 (0x9) is out of range: 1 to 8" },
	{ "disk-queues-none", DEVICE("virtio-blk\"; file = \"x\"; queues = <$>;"), NULL, 1, 0, "/dev0: queues: 0 (0x0) is out of range: 1 to 8" },
	{ "disk-serial", DEVICE("virtio-blk\"; file = \"x\"; serial = \"~\";"), "s", 20, 21, "/dev0: serial: \"sssssssssssssssssssss\" has 21 bytes, and there is room for 20" },
	{ "card-descriptor", DEVICE("virtio-net\"; tap-fd = <$>;"), NULL, 3, 2, "/dev0: tap-fd: 2 (0x2) is out of range: 3 to 2147483647" },
	{ "card-descriptor-high", DEVICE("virtio-net\"; tap-fd = <$>;"), NULL, 2147483647, 2147483648, "/dev0: tap-fd: 2147483648 (0x80000000) is out of range" },
	{ "card-pairs", DEVICE("virtio-net\"; tap = \"t\"; queue-pairs = <$>;"), NULL, 8, 9, "/dev0: queue-pairs: 9 (0x9) is out of range: 1 to 8" },
	{ "card-pairs-none", DEVICE("virtio-net\"; tap = \"t\"; queue-pairs = <$>;"), NULL, 1, 0, "/dev0: queue-pairs: 0 (0x0) is out of range" },
	{ "card-pairs-without-tap", DEVICE("virtio-net\"; passt; queue-pairs = <$>;"), NULL, 1, 2, "/dev0: queue-pairs: there is one, but with tap" },
	{ "card-mtu", DEVICE("virtio-net\"; passt; mtu = <$>;"), NULL, 65535, 65536, "/dev0: mtu: 65536 (0x10000) is out of range: 68 to 65535" },
	{ "card-mtu-low", DEVICE("virtio-net\"; passt; mtu = <$>;"), NULL, 68, 67, "/dev0: mtu: 67 (0x43) is out of range: 68 to 65535" },
	{ "card-address", DEVICE("virtio-net\"; passt; local-mac-address = [~];"), " 02", 6, 7, "/dev0: local-mac-address: takes 6 to 6 bytes, written [02 34 ...], and has 7" },
	{ "card-address-short", DEVICE("virtio-net\"; passt; local-mac-address = [~];"), " 02", 6, 5, "/dev0: local-mac-address: takes 6 to 6 bytes, written [02 34 ...], and has 5" },
	{ "card-address-of-a-group", DEVICE("virtio-net\"; passt; local-mac-address = <$>, [00 01];"), NULL, 0xfeffffff, 0xffffffff, "/dev0: local-mac-address: is a group's" },
	{ "vsock-id", DEVICE("virtio-vsock\"; cid = <$>;"), NULL, 3, 2, "/dev0: cid: 2 (0x2) is out of range: 3 to 4294967294" },
	{ "vsock-id-high", DEVICE("virtio-vsock\"; cid = <$>;"), NULL, 0xfffffffe, 0xffffffff, "/dev0: cid: 4294967295 (0xffffffff) is out of range" },
};

/* The change with its number, and with as many pieces. malloc'ed. */
static char *change_of(const struct edge *edge, uint64_t number)
{
	char *text = NULL;
	size_t size;
	FILE *stream = open_memstream(&text, &size);

	assert_non_null(stream);
	for (const char *c = edge->change; *c; c++) {
		if (*c == '$' && c[1] == '$') {
			fprintf(stream, "0x%" PRIx64 " 0x%" PRIx64, number >> 32, number & UINT32_MAX);
			c++;
		} else if (*c == '$') {
			fprintf(stream, "0x%" PRIx64, number);
		} else if (*c != '~') {
			fputc(*c, stream);
		}
		for (uint64_t i = 0; *c == '~' && i < number; i++)
			for (const char *p = edge->piece; *p; p++)
				if (*p == '%')
					fprintf(stream, "%03" PRIx64, i);
				else
					fputc(*p, stream);
	}
	fclose(stream);
	return text;
}

static void at_its_edge(void **state)
{
	const struct edge *edge = *state;
	const struct host_limits *host = edge->host ? edge->host : &big_host;
	char *good = change_of(edge, edge->last), *bad = change_of(edge, edge->first);
	struct machine_config *config = NULL;
	struct errors errors = { 0 };

	config_destroy(tree_source_good(good, host));
	assert_int_equal(tree_source_read(good_machine, bad, host, &errors, &config), -EINVAL);
	assert_null(config);
	if (errors.count != 1 || !errors_lead(&errors, edge->says)) {
		errors_show(&errors);
		fail_msg("not said, or not alone: %s", edge->says);
	}
	errors_finish(&errors);
	free(good);
	free(bad);
}

/* 512 CPUs are all that there are MPIDRs for: the 513th is refused before its reg is read. */
static void cpus(void **state)
{
	struct machine_config *config = NULL;
	struct errors errors = { 0 };
	char *change = NULL;
	size_t size;
	FILE *stream = open_memstream(&change, &size);

	fputs("&cpus { ", stream);
	for (unsigned i = 1; i < 512; i++)
		fprintf(stream, "cpu@%x { reg = <0x%x>; }; ", i, i / 16 << 8 | i % 16);
	fputs("}; ", stream);
	fflush(stream);
	config = tree_source_good(change, &big_host);
	assert_int_equal(config->cpu_count, 512);
	assert_int_equal(config->cpus[511].mpidr, 0x1f0f);
	config_destroy(config);
	fputs("&cpus { cpu@one-more { reg = <0x2000>; }; };", stream);
	fclose(stream);
	assert_int_equal(tree_source_read(good_machine, change, &big_host, &errors, &config), -EINVAL);
	assert_int_equal(errors.count, 1);
	assert_true(errors_lead(&errors, "/cpus/cpu@one-more: more than 512 CPUs"));
	errors_finish(&errors);
	free(change);
}

static int remove_files(void **state)
{
	tree_source_finish();
	return 0;
}

int main(void)
{
	struct CMUnitTest tests[ARRAY_SIZE(edges) + 1] = { cmocka_unit_test(cpus) };

	for (size_t i = 0; i < ARRAY_SIZE(edges); i++)
		tests[i + 1] = (struct CMUnitTest){
			.name = edges[i].name,
			.test_func = at_its_edge,
			.initial_state = (void *)&edges[i],
		};
	return _cmocka_run_group_tests("limits", tests, ARRAY_SIZE(tests), NULL, remove_files);
}
