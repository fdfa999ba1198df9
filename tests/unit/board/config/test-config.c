/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration's reader. Wrong machines are rows of a table: a change to a good one, and of
 * each error that has to come of it the parts that matter, path and property first. There may be
 * no other errors. Then the good ones: what they become.
 */
#include "tests/unit/helpers/unit.h"

#include <errno.h>
#include <libfdt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "board/config/map.h"
#include "board/config/tree-file.h"
#include "devices/device.h"
#include "tests/unit/helpers/tree-source.h"

/* ---- Wrong machines ---- */

#define ERRORS_EACH 4

static const struct host_limits ipa36 = { 36, 256 * TiB, 0, 4 * KiB, 32767, 512, .gicv3 = true };
static const struct host_limits ipa40 = { 40, 256 * TiB, 0, 4 * KiB, 32767, 512, .gicv3 = true };
static const struct host_limits ipa44 = { 44, 256 * TiB, 0, 4 * KiB, 32767, 512, .gicv3 = true };
static const struct host_limits ipa52 = { 52, 8192 * TiB, 0, 4 * KiB, 32767, 512, .gicv3 = true };
static const struct host_limits va39 = { 40, 512 * GiB, 0, 4 * KiB, 32767, 512, .gicv3 = true };
static const struct host_limits va39_run = { 40, 511 * GiB, 340 * GiB, 4 * KiB, 32767, 512, .gicv3 = true };
static const struct host_limits few_slots = { 48, 256 * TiB, 0, 4 * KiB, 33, 512, .gicv3 = true };
static const struct host_limits few_regions = { 48, 256 * TiB, 0, 4 * KiB, 32767, 512, .gicv3 = true,
	.cpu_features = 1 << CPU_STOLEN_TIME, .vhost_regions = 33 };
static const struct host_limits four_cpus = { 48, 256 * TiB, 0, 4 * KiB, 32767, 512, .gicv3 = true, .cpus = 4 };
static const struct host_limits gicv2 = { 48, 256 * TiB, 0, 4 * KiB, 32767, 512, .gicv2 = true };

#define CARD(properties) "/ { net0 { compatible = \"sluice,virtio-net\"; " properties " }; };"
#define SECOND_WINDOW(place, more)                                                                 \
	"&reserved { second: second { " place " no-map; }; };"                                     \
	"/ { vmem1 { compatible = \"sluice,virtio-mem\"; memory-region = <&second>; " more " }; };"
#define WINDOW(place)	      "&growth { reg = <" place ">; };"
#define PORTS(list)	      "/ { ports0 { compatible = \"sluice,virtio-console\"; ports = " list "; }; };"
#define FIRMWARE	      "&chosen { /delete-property/ sluice,kernel; sluice,firmware = \"f\"; sluice,flash = \"v\"; };"
#define CPU(n, reg)	      "cpu" n " { device_type = \"cpu\"; reg = <" reg ">; };"

static const struct wrong {
	const char *name, *change;
	const struct host_limits *host; /* NULL: big_host */
	const char *says[ERRORS_EACH];
} wrong[] = {
	/* Windows: where they may be. */
	{ "window-in-memory", WINDOW("0x0 0x40000000 0x0 0x20000000"), NULL,
		{ "/vmem0: memory-region: window 0x40000000+0x20000000 (512 MiB) overlaps /memory@40000000" } },
	{ "window-at-memory's-end", "&memory { reg = <0x0 0x40000000 0x0 0x40000000>; };" WINDOW("0x0 0x60000000 0x1 0x0"), NULL,
		{ "/vmem0: memory-region: window 0x60000000+0x100000000 (4 GiB) overlaps /memory@40000000, 0x40000000+0x40000000 (1 GiB)" } },
	{ "window-misaligned", WINDOW("0x1 0x10000000 0x1 0x0"), NULL,
		{ "/vmem0: memory-region: window 0x110000000+0x100000000 (4 GiB) is not aligned to 512 MiB: 0x120000000" } },
	{ "window-overlaps-window", SECOND_WINDOW("reg = <0x1 0xe0000000 0x1 0x0>;", ""), NULL,
		{ "/vmem1: memory-region: window 0x1e0000000+0x100000000 (4 GiB) overlaps /reserved-memory/growth@100000000, 0x100000000+0x100000000 (4 GiB)" } },
	{ "window-overlaps-reserved", "&reserved { firmware@180000000 { reg = <0x1 0x80000000 0x0 0x1000>; }; };", NULL,
		{ "/vmem0: memory-region: window 0x100000000+0x100000000 (4 GiB) overlaps /reserved-memory/firmware@180000000" } },
	{ "window-overlaps-second-range", "&reserved { two { reg = <0x0 0x50000000 0x0 0x1000 0x1 0x80000000 0x0 0x1000>; }; };", NULL,
		{ "/vmem0: memory-region: window 0x100000000+0x100000000 (4 GiB) overlaps /reserved-memory/two, 0x180000000" } },
	{ "window-below-ram", WINDOW("0x0 0x0 0x0 0x20000000"), NULL,
		{ "/vmem0: memory-region: window 0x0+0x20000000 (512 MiB) begins below RAM" } },
	{ "window-used-twice", "/ { vmem1 { compatible = \"sluice,virtio-mem\"; memory-region = <&growth>; }; };", NULL,
		{ "/vmem1: memory-region: /reserved-memory/growth@100000000 is the window of /vmem0 already" } },
	{ "window-two-ranges", WINDOW("0x1 0x0 0x1 0x0 0x3 0x0 0x1 0x0"), NULL,
		{ "/reserved-memory/growth@100000000: reg: a window is one range" } },
	{ "window-empty", WINDOW("0x1 0x0 0x0 0x0"), NULL,
		{ "/reserved-memory/growth@100000000: reg: the range at 0x100000000 is empty" } },
	{ "window-wraps", WINDOW("0xffffffff 0xe0000000 0x0 0x20000000"), NULL,
		{ "/reserved-memory/growth@100000000: reg: 0xffffffffe0000000+0x20000000 goes beyond 64 bits" } },
	{ "window-without-no-map", "&growth { /delete-property/ no-map; };", NULL,
		{ "/reserved-memory/growth@100000000: no-map: missing" } },
	{ "window-reusable", "&growth { reusable; };", NULL,
		{ "/reserved-memory/growth@100000000: reusable: not on a window: a window's memory comes and goes" } },
	{ "window-dma-pool", "&growth { compatible = \"shared-dma-pool\"; };", NULL,
		{ "/reserved-memory/growth@100000000: compatible: not \"shared-dma-pool\" on a window" } },
	{ "window-nobody", "&vmem0 { memory-region = <&cpu0>; };", NULL,
		{ "/vmem0: memory-region: names no enabled child of /reserved-memory" } },
	{ "window-disabled", "&growth { status = \"disabled\"; };", NULL,
		{ "/vmem0: memory-region: names no enabled child of /reserved-memory" } },
	{ "window-missing", "&vmem0 { /delete-property/ memory-region; };", NULL,
		{ "/vmem0: memory-region: missing" } },
	{ "window-without-place", "&growth { /delete-property/ reg; };", NULL,
		{ "/reserved-memory/growth@100000000: reg: missing: give reg = <address size>, or size" } },

	/* Windows: what the host allows. */
	{ "ipa-36", WINDOW("0x1 0x0 0x10 0x0"), &ipa36,
		{ "/vmem0: memory-region: window 0x100000000+0x1000000000 (64 GiB) ends beyond what this host's guests can address: 36 bits, 64 GiB. The largest that fits there is 60 GiB" } },
	{ "ipa-36-outside", WINDOW("0x10 0x0 0x1 0x0"), &ipa36,
		{ "/vmem0: memory-region: window 0x1000000000+0x100000000 (4 GiB) ends beyond what this host's guests can address: 36 bits, 64 GiB. It has to begin below that" } },
	{ "ipa-40", WINDOW("0x1 0x0 0x100 0x0"), &ipa40,
		{ "40 bits, 1 TiB. The largest that fits there is 1020 GiB" } },
	{ "ipa-44", WINDOW("0x1 0x0 0x1000 0x0"), &ipa44, { "44 bits, 16 TiB. The largest that fits there is 16380 GiB" } },
	{ "ipa-48", WINDOW("0x1 0x0 0x10000 0x0"), NULL, { "48 bits, 256 TiB. The largest that fits there is 262140 GiB", "memory and windows take 262144.5 GiB of address space" } },
	{ "ipa-52", WINDOW("0x1 0x0 0x100000 0x0"), &ipa52, { "52 bits, 4096 TiB. The largest that fits there is 4194300 GiB" } },
	{ "ipa-memory", "/ { memory@1000000000 { device_type = \"memory\"; reg = <0x10 0x0 0x0 0x20000000>; }; };", &ipa36,
		{ "/memory@1000000000: reg: memory 0x1000000000+0x20000000 (512 MiB) ends beyond" } },
	{ "address-space-39", WINDOW("0x1 0x0 0x80 0x0"), &va39,
		{ "/vmem0: memory-region: memory and windows take 512.5 GiB of address space, and a process on this host has 512 GiB (a kernel with 39-bit addresses" } },
	{ "address-space-stretch", WINDOW("0x1 0x0 0x60 0x0"), &va39_run,
		{ "/vmem0: memory-region: a window of 384 GiB, and the longest free stretch of address space of a process on this host is 340 GiB" } },
	{ "slots-kvm", SECOND_WINDOW("size = <0x1 0x0>;", "memslots = <16>;") "&vmem0 { memslots = <32>; };", &few_slots,
		{ "/vmem0: memslots: the windows ask for 48 memory slots, and KVM on this host has, besides those of RAM, 32: /vmem0 32 of 128 MiB, /vmem1 16 of 256 MiB. Lower memslots" } },
	{ "slots-all", "&growth { reg = <0x1 0x0 0x80 0x0>; };" SECOND_WINDOW("size = <0x80 0x0>;", "memslots = <1024>;") "&vmem0 { memslots = <1024>; };"
		"&reserved { third: third { size = <0x0 0x8000000>; no-map; }; }; / { vmem2 { compatible = \"sluice,virtio-mem\"; memory-region = <&third>; }; };", NULL,
		{ "/vmem0: memslots: the windows ask for 2049 memory slots, and all windows without a slot-size may have 2048: /vmem0 1024 of 512 MiB, /vmem1 1024 of 512 MiB, /vmem2 1 of 128 MiB" } },
	{ "slots-vhost-last", "&vmem0 { memslots = <32>; }; / { zz0 { compatible = \"sluice,virtio-vsock\"; cid = <3>; }; };", &few_regions,
		{ "/vmem0: memslots: the windows ask for 32 memory slots, and vhost on this host, which serves /zz0, takes, besides those of RAM, 31: /vmem0 32 of 128 MiB. Lower memslots, or raise slot-size, or raise vhost's limit" } },
	{ "slots-vhost-first", "&vmem0 { memslots = <32>; }; / { a0 { compatible = \"sluice,virtio-net\"; tap = \"tap0\"; vhost; }; };", &few_regions,
		{ "/vmem0: memslots: the windows ask for 32 memory slots, and vhost on this host, which serves /a0, takes, besides those of RAM, 31: /vmem0 32" } },
	{ "net-nowhere", "/ { net0 { compatible = \"sluice,virtio-net\"; }; };", NULL, { "/net0: a network card has one of tap" } },
	{ "net-two-taps", "/ { net0 { compatible = \"sluice,virtio-net\"; tap = \"tap0\"; tap-fd = <3>; }; };", NULL, { "/net0: a network card has one of tap" } },
	{ "net-pairs-of-one", "/ { net0 { compatible = \"sluice,virtio-net\"; tap-fd = <3>; queue-pairs = <2>; }; };", NULL, { "/net0: queue-pairs: there is one, but with tap" } },
	{ "vsock-host's-id", "/ { vsock0 { compatible = \"sluice,virtio-vsock\"; cid = <2>; }; };", NULL, { "/vsock0: cid: " } },
	{ "slots-of-2M", "&vmem0 { slot-size = /bits/ 64 <0x200000>; };", &few_slots,
		{ "warning: /vmem0: slot-size: slots of 2 MiB are smaller than Linux's memory block", "/vmem0: memslots: the windows ask for 2048 memory slots" } },

	/* Windows that Sluice places. */
	{ "place-too-large", "&growth { /delete-property/ reg; size = <0x10 0x0>; };", &ipa36,
		{ "/reserved-memory/growth@100000000: size: no place for 64 GiB aligned to 512 MiB" } },
	{ "place-not-within", "&growth { /delete-property/ reg; size = <0x0 0x40000000>; alloc-ranges = <0x0 0x40000000 0x0 0x40000000>; };", NULL,
		{ "/reserved-memory/growth@100000000: size: no place for 1 GiB aligned to 512 MiB within alloc-ranges" } },
	{ "place-alignment", "&growth { /delete-property/ reg; size = <0x0 0x40000000>; alignment = <0x0 0x3000>; };", NULL,
		{ "/reserved-memory/growth@100000000: alignment: 0x3000 is not a power of two" } },
	{ "place-u32", "&growth { /delete-property/ reg; size = <0x40000000>; };", NULL,
		{ "/reserved-memory/growth@100000000: size: 4 bytes where one number of 2 cells belongs" } },
	{ "place-empty", "&growth { /delete-property/ reg; size = <0 0>; };", NULL,
		{ "/reserved-memory/growth@100000000: size: the range is empty" } },

	/* Reserved memory. */
	{ "reserved-cells", "&reserved { #address-cells = <1>; }; &growth { reg = <0xc0000000 0x0 0x40000000>; };", NULL,
		{ "/reserved-memory: #address-cells: #address-cells and #size-cells have to be the root's, <2> and <2>" } },
	{ "reserved-ranges", "&reserved { /delete-property/ ranges; };", NULL, { "/reserved-memory: ranges: must be here, empty" } },
	{ "reserved-on-the-tree", FIRMWARE "&reserved { fw { reg = <0 0x40100000 0 0x1000>; }; };", NULL, { "/reserved-memory/fw: reg: reserved 0x40100000+0x1000 (4 KiB) overlaps the start of RAM" } },
	{ "memreserve-in-window", "/memreserve/ 0x140000000 0x1000;", NULL, { "/vmem0: memory-region: window 0x100000000+0x100000000 (4 GiB) overlaps /memreserve/, 0x140000000" } },

	/* Memory. */
	{ "memory-none", "/delete-node/ &memory;", NULL, { "/memory@40000000: missing: the machine has no memory" } },
	{ "memory-disabled", "&memory { status = \"disabled\"; };", NULL, { "/memory@40000000: missing" } },
	{ "memory-elsewhere", "&memory { reg = <0x0 0x50000000 0x0 0x10000000>; };", NULL, { "/memory@40000000: reg: memory begins at 0x50000000; the first range has to begin at 0x40000000" } },
	{ "memory-below", "/ { memory@10000000 { reg = <0x0 0x10000000 0x0 0x200000>; }; };", NULL, { "/memory@10000000: reg: memory 0x10000000+0x200000 (2 MiB) begins below 0x40000000" } },
	{ "memory-misaligned", "&memory { reg = <0x0 0x40000000 0x0 0x20001000>; };", NULL, { "/memory@40000000: reg: memory 0x40000000+0x20001000 (524292 KiB) is not aligned to 2 MiB" } },
	{ "memory-overlap", "/ { memory@50000000 { reg = <0x0 0x50000000 0x0 0x20000000>; }; };", NULL,
		{ "/memory@50000000: reg: memory 0x50000000+0x20000000 (512 MiB) overlaps /memory@40000000, 0x40000000+0x20000000 (512 MiB)" } },
	{ "memory-without-reg", "&memory { /delete-property/ reg; };", NULL, { "/memory@40000000: reg: missing" } },
	{ "memory-odd-reg", "&memory { reg = <0x40000000 0x20000000>; };", NULL, { "/memory@40000000: reg: 8 bytes are not addresses of 2 and sizes of 2 cells" } },

	/* Properties by a class's table. */
	{ "u32-for-u64", "&vmem0 { requested-size = <0x40000000>; };", NULL, { "/vmem0: requested-size: 4 bytes where a 64-bit number belongs: write /bits/ 64 <0x40000000>" } },
	{ "u64-for-u32", "&vmem0 { memslots = /bits/ 64 <32>; };", NULL, { "/vmem0: memslots: 8 bytes where a 32-bit number belongs: write <0x20>" } },
	{ "u64-of-12-bytes", "&vmem0 { block-size = <0 0 0x200000>; };", NULL, { "/vmem0: block-size: 12 bytes where a 64-bit number belongs" } },
	{ "u32-range", "&vmem0 { memslots = <1025>; };", NULL, { "/vmem0: memslots: 1025 (0x401) is out of range: 0 to 1024" } },
	{ "choice", "&vmem0 { stray-reads = \"zeros\"; };", NULL, { "/vmem0: stray-reads: \"zeros\" is none of \"zero\", \"abort\"; did you mean zero?" } },
	{ "two-strings", "&vmem0 { stray-reads = \"zero\", \"abort\"; };", NULL, { "/vmem0: stray-reads: one string belongs here" } },
	{ "string-without-end", "&vmem0 { stray-reads = [ 61 62 ]; };", NULL, { "/vmem0: stray-reads: one string belongs here" } },
	{ "control-characters", "&vmem0 { stray-reads = [ 1b 5b 41 00 ]; };", NULL, { "/vmem0: stray-reads: \"?[A\" is none of" } },
	{ "class-rule", "&vmem0 { requested-size = /bits/ 64 <0x100000>; };", NULL, { "/vmem0: requested-size: " } },

	/* Names. */
	{ "unknown-property", "&vmem0 { request-size = /bits/ 64 <0x40000000>; };", NULL, { "/vmem0: request-size: unknown here; did you mean requested-size?" } },
	{ "unknown-nothing-near", "&vmem0 { interrupts = <1>; };", NULL, { "/vmem0: interrupts: unknown here" } },
	{ "prefix-too-much", "&vmem0 { sluice,memslots = <2>; };", NULL, { "/vmem0: sluice,memslots: unknown here; did you mean memslots?" } },
	{ "unknown-class", "/ { disk0 { compatible = \"sluice,virtio-men\"; }; };", NULL, { "/disk0: compatible: \"sluice,virtio-men\" is unknown here; did you mean sluice,virtio-mem?" } },
	{ "class-too-deep", "/ { bus { vmem { compatible = \"sluice,virtio-mem\"; }; }; };", NULL, { "/bus/vmem: compatible: \"sluice,virtio-mem\" belongs in a direct child of the root" } },
	{ "console-kind", "/ { options { sluice { compatible = \"sluice,options\"; console = \"tty\"; }; }; };", NULL, { "/options/sluice: console: \"tty\" is none of \"stdio\"" } },
	{ "console-without-path", "/ { options { sluice { compatible = \"sluice,options\"; console = \"file:\"; }; }; };", NULL, { "/options/sluice: console: \"file:\" is none of \"stdio\"" } },
	{ "port-names", PORTS("\"a\", \".b\", \"c d\", \"\", \"a=null\""), NULL, { "/ports0: ports: \".b\": a name is up to 64 letters", "/ports0: ports: \"c d\": a name", "/ports0: ports: \"\": a name", "/ports0: ports: \"a=null\": there is a port of this name" } },
	{ "port-of-another", PORTS("\"a\"") "/ { ports1 { compatible = \"sluice,virtio-console\"; ports = \"a\"; }; };", NULL, { "/ports1: ports: \"a\": there is a port of this name" } },
	{ "port-back-end", PORTS("\"a=pty:x\", \"b=\""), NULL, { "/ports0: ports: \"a=pty:x\": after = comes none of \"stdio\"", "/ports0: ports: \"b=\": after" } },
	{ "ports-too-many", PORTS("\"a\", \"b\", \"c\", \"d\", \"e\", \"f\", \"g\", \"h\""), NULL, { "/ports0: ports: takes 1 to 7 strings" } },
	{ "ports-no-strings", PORTS("<1>"), NULL, { "/ports0: ports: takes 1 to 7 strings" } },
	{ "ports-missing", "/ { ports0 { compatible = \"sluice,virtio-console\"; }; };", NULL, { "/ports0: ports: missing" } },
	{ "two-watchdogs", "/ { dog1 { compatible = \"sluice,watchdog\"; }; dog2 { compatible = \"sluice,watchdog\"; }; };", NULL, { "/dog2: a machine has one sluice,watchdog, and /dog1 is it" } },
	{ "two-balloons", "/ { b1 { compatible = \"sluice,virtio-balloon\"; }; b2 { compatible = \"sluice,virtio-balloon\"; }; };", NULL, { "/b2: a machine has one sluice,virtio-balloon, and /b1 is it" } },
	{ "watchdog-action", "/ { dog { compatible = \"sluice,watchdog\"; action = \"poweroff\"; }; };", NULL, { "/dog: action: \"poweroff\" is none of \"reset\", \"power-off\", \"pause\", \"event\"; did you mean power-off?" } },
	{ "card-with-two", CARD("passt; tap = \"tap0\";"), NULL, { "/net0: a network card has one of tap" } },
	{ "forward-without-passt", CARD("tap = \"tap0\"; forward-tcp = \"2222:22\";"), NULL, { "/net0: forward-tcp: is passt's, and there is no passt" } },
	{ "loopback-without-passt", CARD("tap = \"tap0\"; host-loopback;"), NULL, { "/net0: host-loopback: is passt's" } },
	{ "forward-nonsense", CARD("passt; forward-tcp = \"22 --runas 0\";"), NULL, { "/net0: forward-tcp: is not the host's port, a colon and the guest's" } },
	{ "watchdog-is-no-virtio", "/ { aliases { virtio0 = \"/dog\"; }; dog { compatible = \"sluice,watchdog\"; }; };", NULL, { "/aliases: virtio0: \"/dog\" is not a virtio device of this machine" } },
	{ "watchdogs-place", "/ { mine@90d0000 { reg = <0x0 0x90d0000 0x0 0x1000>; interrupts = <0 10 4>; }; };", NULL, { "/mine@90d0000: interrupts: SPI 10 is Sluice's", "/mine@90d0000: reg: 0x90d0000+0x1000 is Sluice's: the watchdog is at" } },
	{ "unknown-in-chosen", "&chosen { sluice,kernal = \"vmlinuz\"; };", NULL, { "/chosen: sluice,kernal: unknown here; did you mean sluice,kernel?" } },
	{ "chosen's-elsewhere", "&memory { sluice,kernel = \"vmlinuz\"; };", NULL, { "/memory@40000000: sluice,kernel: belongs in /chosen, not here" } },
	{ "unknown-root", "/ { compatible = \"sluice,machin\"; };", NULL, { "/: compatible: \"sluice,machin\" is unknown here; did you mean sluice,machine?" } },
	{ "subnode", "&vmem0 { child { }; };", NULL, { "/vmem0/child: unknown: a sluice,virtio-mem has no subnodes" } },
	{ "unit-address", "/ { vmem@1 { compatible = \"sluice,virtio-mem\"; memory-region = <&growth>; }; }; /delete-node/ &vmem0;", NULL, { "/vmem@1: a device's id is its node's name" } },
	{ "status", "&vmem0 { status = \"disable\"; };", NULL, { "/vmem0: status: \"disable\" is none of \"okay\", \"disabled\", \"reserved\", \"fail\" and \"fail-...\"" } },
	{ "alias-of-nothing", "/ { aliases { virtio0 = \"/disk0\"; }; };", NULL, { "/aliases: virtio0: \"/disk0\" is not a virtio device of this machine" } },

	/* CPUs. */
	{ "cpus-none", "/delete-node/ &cpus;", NULL, { "/cpus: missing: the machine has no CPU" } },
	{ "cpus-empty", "/delete-node/ &cpu0;", NULL, { "/cpus: the machine has no CPU" } },
	{ "cpu-without-reg", "&cpu0 { /delete-property/ reg; };", NULL, { "/cpus/cpu@0: reg: missing" } },
	{ "cpu-twice", "&cpus { " CPU("@1", "0") " };", NULL, { "/cpus/cpu@1: reg: 0x0 is the reg of /cpus/cpu@0 already" } },
	{ "cpu-mpidr", "&cpus { " CPU("@10", "0x10") " };", NULL, { "/cpus/cpu@10: reg: 0x10 is no MPIDR of KVM's" } },
	{ "cpu-size-cells", "&cpus { #size-cells = <1>; };", NULL, { "/cpus: #size-cells: write #size-cells = <0>" } },
	{ "cpu-host-cpu", "&cpu0 { sluice,host-cpus = <4096>; };", NULL, { "/cpus/cpu@0: sluice,host-cpus: 4096 is no number of a host CPU: these are 0 to 1023" } },
	{ "cpu-host-has-few", "&cpu0 { sluice,host-cpus = <3 4>; };", &four_cpus, { "/cpus/cpu@0: sluice,host-cpus: 4 is no number of a host CPU: these are 0 to 3" } },
	{ "cpu-rt-priority", "&cpu0 { sluice,rt-priority = <100>; };", NULL, { "/cpus/cpu@0: sluice,rt-priority: 100 is no priority of SCHED_FIFO: these are 1 to 99" } },
	{ "cpu-feature-value", "&cpus { sluice,sve = \"yes\"; };", NULL, { "/cpus: sluice,sve: \"yes\" is none of \"auto\"" } },
	{ "cpu-feature-missing", "&cpus { sluice,pmu = \"on\"; };", &ipa40, { "/cpus: sluice,pmu: \"on\", and this host's CPUs or its KVM have none: write \"auto\"" } },
	{ "cpu-feature-place", "&cpu0 { sluice,pmu = \"on\"; };", NULL, { "/cpus/cpu@0: sluice,pmu: belongs in /cpus, not here" } },
	{ "cpu-by-type-alone", "&cpus { core@1 { device_type = \"cpu\"; reg = <1>; sluice,host-cpus = <4>; sluice,rt-priority = <5>; }; };", &four_cpus, { "/cpus/core@1: sluice,host-cpus: 4 is no number of a host CPU" } },
	{ "cpus-nested-host", "&cpus { sluice,nested; };", &ipa40, { "/cpus: sluice,nested: this host gives guests no EL2" } },
	{ "balloon-nested", "&cpus { sluice,nested; }; / { balloon0 { compatible = \"sluice,virtio-balloon\"; }; };", NULL, { "/balloon0: not in a machine with sluice,nested: each page" } },
	{ "vhost-workers", "/ { a1 { compatible = \"sluice,virtio-net\"; tap = \"a1\"; queue-pairs = <8>; vhost; }; a2 { compatible = \"sluice,virtio-net\"; tap = \"a2\"; queue-pairs = <8>; vhost; };"
		" a3 { compatible = \"sluice,virtio-net\"; tap = \"a3\"; queue-pairs = <8>; vhost; }; a4 { compatible = \"sluice,virtio-net\"; tap = \"a4\"; queue-pairs = <8>; vhost; }; };", NULL, { "/a4: this machine would have more than 31 workers of vhost's" } },
	{ "cpus-nested-gicv2", "&cpus { sluice,nested; }; / { options { sluice { compatible = \"sluice,options\"; gic = \"gicv2\"; }; }; };", NULL, { "/cpus: sluice,nested: takes a GICv3" } },
	{ "gic-unknown", "/ { options { sluice { compatible = \"sluice,options\"; gic = \"gicv4\"; }; }; };", NULL, { "/options/sluice: gic: \"gicv4\" is none of \"gicv2\", \"gicv3\", \"gicv3-its\"" } },
	{ "gic-missing", "/ { options { sluice { compatible = \"sluice,options\"; gic = \"gicv3-its\"; }; }; };", &gicv2, { "/options/sluice: gic: KVM on this host has no gicv3-its; it has gicv2: leave it out" } },
	{ "gic-region", "/ { dev@10000000 { reg = <0 0x10000000 0 0x1000>; }; };", NULL, { "is Sluice's: the interrupt controller is at 0x10000000" } },
	{ "stolen-time-region", "/ { dev@90a0000 { reg = <0 0x90a0000 0 0x1000>; }; };", NULL, { "is Sluice's: stolen time is at 0x90a0000" } },
	{ "pmu-own", "/ { pmu { compatible = \"arm,armv8-pmuv3\"; }; };", NULL, { "/pmu: Sluice puts its own pmu into the guest's tree: remove this node" } },
	{ "cpus-gicv2", "&cpus { " CPU("@1", "1") CPU("@2", "2") CPU("@3", "3") CPU("@4", "4") CPU("@5", "5") CPU("@6", "6") CPU("@7", "7") CPU("@8", "8") " };", &gicv2,
		{ "/cpus/cpu@8: reg: 0x8, and the machine has a GICv2, which knows CPUs 0 to 7" } },

	/* The root, /chosen, /options. */
	{ "root-cells", "/ { #address-cells = <3>; };", NULL, { "/: #address-cells: write #address-cells = <2> (or <1>)" } },
	{ "root-cells-none", "/ { /delete-property/ #size-cells; };", NULL, { "/: #size-cells: write #size-cells = <2>" } },
	{ "kernel-number", "&chosen { sluice,kernel = <1 2>; };", NULL, { "/chosen: sluice,kernel: one string belongs here" } },
	{ "firmware-and-kernel", "&chosen { sluice,kernel = \"k\"; sluice,initrd = \"i\"; sluice,firmware = \"f\"; sluice,flash = \"v\"; };", NULL,
		{ "/chosen: sluice,kernel: does not go with sluice,firmware, which finds the system that it starts on a disk", "/chosen: sluice,initrd: does not go with sluice,firmware" } },
	{ "kernel-address-alone", "&chosen { /delete-property/ sluice,kernel; sluice,kernel-address = <0 0x40200000>; };", NULL,
		{ "/chosen: sluice,kernel-address: says where the file that sluice,kernel names is loaded, and there is none" } },
	{ "flash-twice", "&chosen { sluice,flash = \"f\"; }; / { flash@4000000 { compatible = \"x,y\"; }; };", NULL,
		{ "/flash@4000000: Sluice puts its own flash into the guest's tree: remove this node" } },
	{ "template-without-flash", "&chosen { sluice,flash-template = \"t\"; sluice,flash-read-only; };", NULL,
		{ "/chosen: sluice,flash-template: says what is done with the file that sluice,flash names", "/chosen: sluice,flash-read-only: says" } },
	{ "kernel-address-short", "&chosen { sluice,kernel-address = <0x40200000>; };", NULL, { "/chosen: sluice,kernel-address: " } },
	{ "kernel-address-odd", "&chosen { sluice,kernel-address = <0 0x40200002>; };", NULL, { "/chosen: sluice,kernel-address: 0x40200002 is no multiple of 4" } },
	{ "kernel-empty", "&chosen { sluice,kernel = \"\"; };", NULL, { "/chosen: sluice,kernel: the path is empty" } },
	{ "options-policy", "/ { options { sluice { compatible = \"sluice,options\"; stray-access = \"ignore\"; }; }; };", NULL,
		{ "/options/sluice: stray-access: \"ignore\" is none of \"abort\", \"pause\", \"stop\"" } },
	{ "options-unknown", "/ { options { sluice { compatible = \"sluice,options\"; stray-acess = \"abort\"; }; }; };", NULL,
		{ "/options/sluice: stray-acess: unknown here; did you mean stray-access?" } },

	/* What is Sluice's. */
	{ "own-hypervisor", "/ { hypervisor { }; };", NULL, { "/hypervisor: Sluice puts its own hypervisor" } },
	{ "own-psci", "/ { firmware { compatible = \"arm,psci-1.0\"; }; };", NULL, { "/firmware: Sluice puts its own arm,psci-1.0" } },
	{ "own-timer", "/ { timer { compatible = \"arm,armv8-timer\"; }; };", NULL, { "/timer: Sluice puts its own timer" } },
	{ "own-interrupt-parent", "/ { interrupt-parent = <1>; };", NULL, { "/: interrupt-parent: the machine's interrupt controller is Sluice's" } },
	{ "own-address", "/ { uart@9000800 { reg = <0x0 0x09000800 0x0 0x1000>; }; };", NULL, { "/uart@9000800: reg: 0x9000800+0x1000 is Sluice's: the UART" } },
	{ "own-address-on-bus", "/ { soc { #address-cells = <1>; #size-cells = <1>; ranges; gic@8000000 { reg = <0x08000000 0x1000>; }; }; };", NULL,
		{ "/soc/gic@8000000: reg: 0x8000000+0x1000 is Sluice's: the interrupt controller" } },
	{ "own-address-by-ranges", "/ { soc { #address-cells = <1>; #size-cells = <1>; ranges = <0x0 0x0 0x0a000000 0x10000>; }; };", NULL,
		{ "/soc: ranges: 0xa000000+0x10000 is Sluice's: virtio-mmio" } },
	{ "own-window", "/ { dev@180000000 { reg = <0x1 0x80000000 0x0 0x1000>; }; };", NULL, { "/dev@180000000: reg: 0x180000000+0x1000 is Sluice's: /vmem0" } },
	{ "interrupt-beyond", "/ { dev { interrupts = <0 255 4>, <0 256 4>; }; };", NULL,
		{ "/dev: interrupts: SPI 256 is beyond the machine's interrupt controller, which has SPIs 0 to 255: those from 48 on are free" } },
	{ "interrupt-parent-of-nobody", "/ { dev { interrupt-parent = <0x77>; interrupts = <1>; }; ext { interrupts-extended = <&cpu0 1>; }; };", NULL,
		{ "/dev: interrupt-parent: 0x77 is the phandle of no interrupt controller that the guest has", "/ext: interrupts-extended: 0x" } },
	{ "interrupts-extended-walked", "/ { ic: ic { interrupt-controller; #interrupt-cells = <2>; }; two { interrupts-extended = <&ic 0x77 2>, <&ic 1 2>; };"
		" one { interrupts-extended = <&ic 1 2>, <0x77 1 2>; }; };", NULL,
		{ "/one: interrupts-extended: 0x77 is the phandle of no interrupt controller that the guest has" } },
	{ "a-board", "/ { compatible = \"acme,board\"; model = \"Acme Board\"; interrupt-parent = <&gic>; gic: gic { interrupt-controller; #interrupt-cells = <3>; }; timer { }; };", NULL,
		{ "machine.dts: the tree of a whole board: Acme Board, whose" } },
	{ "own-interrupt", "/ { dev { interrupts = <0 16 1>; }; };", NULL, { "/dev: interrupts: SPI 16 is Sluice's: SPIs from 48 on are free" } },

	/* All at once. */
	{ "several", "&memory { reg = <0x0 0x40000000 0x0 0x1000>; }; &vmem0 { memslots = <5000>; block_size = <1>; }; &chosen { sluice,initrd = <7 7>; };", NULL,
		{ "/memory@40000000: reg:", "/vmem0: memslots:", "/vmem0: block_size: unknown here; did you mean block-size?", "/chosen: sluice,initrd:" } },
};

static void check_wrong(void **state)
{
	const struct wrong *w = *state;
	struct machine_config *config = NULL;
	struct errors errors = { 0 };
	size_t expected = 0;

	assert_int_equal(tree_source_read(good_machine, w->change, w->host ? w->host : &big_host, &errors, &config), -EINVAL);
	assert_null(config);
	for (; expected < ERRORS_EACH && w->says[expected]; expected++)
		if (!errors_lead(&errors, w->says[expected])) {
			errors_show(&errors);
			fail_msg("not said: %s", w->says[expected]);
		}
	if (errors.count != expected)
		errors_show(&errors);
	assert_int_equal(errors.count, expected);
	errors_finish(&errors);
}

/* ---- Files ---- */

static void refuse_file(const char *file, const char *const *overlays, size_t count, const char *part)
{
	struct tree_source source = { .file = file, .overlay_count = count };
	struct machine_config *config = NULL;
	struct errors errors = { 0 };

	for (size_t i = 0; i < count; i++)
		source.overlays[i] = overlays[i];
	assert_int_equal(config_read(&source, &big_host, &errors, &config), -EINVAL);
	if (!errors_say(&errors, part)) {
		errors_show(&errors);
		fail_msg("not said: %s", part);
	}
	errors_finish(&errors);
}

static void files(void **state)
{
	static const char elf[] = "\177ELF\2\1\1";
	const char *path;

	refuse_file("/nonexistent/machine.dts", NULL, 0, "/nonexistent/machine.dts: cannot open it: No such file");
	refuse_file("/dev", NULL, 0, "/dev: it is a folder");
	refuse_file("/dev/null", NULL, 0, "/dev/null: not a tree: it is empty");
	refuse_file("/dev/zero", NULL, 0, "/dev/zero: it is larger than 16 MiB");
	refuse_file(tree_source_file("notes", "some text", ""), NULL, 0, "not a tree: it is text");
	refuse_file(tree_source_file("prog", elf, ""), NULL, 0, "not a tree: it is an ELF program");
	refuse_file(tree_source_file("odd.dtb", "\x01\x02", ""), NULL, 0, "not a tree: it has neither");
	path = tree_source_file("syntax.dts", "/dts-v1/; / { a = ; };", "");
	refuse_file(path, NULL, 0, "syntax error");
	refuse_file(path, NULL, 0, "syntax.dts:1.");
	refuse_file(tree_source_file("fit.dts", "/dts-v1/; / { images { }; configurations { }; };", ""), NULL, 0,
		"a FIT image, where a tree belongs");
}

static void no_dtc(void **state)
{
	char *path = strdup(getenv("PATH"));

	setenv("PATH", "/nonexistent", 1);
	refuse_file(tree_source_file("machine.dts", good_machine, ""), NULL, 0,
		"apt-get install device-tree-compiler");
	setenv("PATH", path, 1);
	free(path);
}

static void overlays(void **state)
{
	char *machine = strdup(tree_source_file("machine.dts", good_machine, ""));
	char *overlay = strdup(tree_source_file("more.dtso",
		"/dts-v1/; /plugin/; &vmem0 { requested-size = /bits/ 64 <0x200000>; };"
		"&{/} { disabled0 { compatible = \"sluice,virtio-mem\"; status = \"disabled\"; }; };", ""));
	char *missing = strdup(tree_source_file("missing.dtso", "/dts-v1/; /plugin/; &vmem7 { a; };", ""));
	const struct tree_source good = { .file = machine, .overlays = { overlay }, .overlay_count = 1 };
	const char *const bad[] = { overlay, missing, "/nonexistent" };
	struct machine_config *config;
	struct errors errors = { 0 };

	assert_int_equal(config_read(&good, &big_host, &errors, &config), 0);
	assert_int_equal(fdt_path_offset(config->fdt, "/disabled0") > 0, 1);
	assert_non_null(fdt_getprop(config->fdt, fdt_path_offset(config->fdt, "/vmem0"), "requested-size", NULL));
	config_destroy(config);
	errors_finish(&errors);
	refuse_file(machine, bad, 3, "missing.dtso: fragment@0: the overlay wants the label vmem7, which the tree does not have");
	refuse_file(machine, bad, 3, "/nonexistent: cannot open it");
	free(machine);
	free(overlay);
	free(missing);
}

static void *blob_of(const char *change, size_t *ret_size)
{
	struct errors errors = { 0 };
	void *fdt;

	assert_int_equal(tree_source_open(tree_source_file("machine.dts", good_machine, change), NULL, &errors, &fdt), 0);
	errors_finish(&errors);
	assert_int_equal(fdt_pack(fdt), 0);
	*ret_size = fdt_totalsize(fdt);
	return fdt;
}

static int read_blob(const void *blob, size_t size, struct errors *errors)
{
	struct machine_config *config = NULL;
	int err = config_read_blob(blob, size, "blob", &big_host, errors, &config);

	assert_int_equal(!config, !!err);
	config_destroy(config);
	return err;
}

/* Cut at every length, with the size in the header as it was and as it now is: an error, no crash. */
static void truncated(void **state)
{
	size_t size;
	uint8_t *blob = blob_of("", &size);

	for (size_t len = 0; len < size; len++) {
		uint8_t *cut = malloc(len ? len : 1);
		struct errors errors = { 0 };

		memcpy(cut, blob, len);
		assert_int_equal(read_blob(cut, len, &errors), -EINVAL);
		assert_true(errors_say(&errors, "blob: the tree is "));
		errors_finish(&errors);
		if (len >= sizeof(struct fdt_header)) {
			fdt_set_totalsize(cut, len);
			assert_int_equal(read_blob(cut, len, &errors), -EINVAL);
			errors_finish(&errors);
		}
		free(cut);
	}
	free(blob);
}

/* Every byte spoilt, one at a time, in three ways. What comes of it is either a machine or errors. */
static void spoilt(void **state)
{
	size_t size;
	uint8_t *blob = blob_of("", &size);

	for (size_t at = 0; at < size; at++)
		for (int way = 0; way < 3; way++) {
			uint8_t was = blob[at];
			struct errors errors = { 0 };

			blob[at] = way == 0 ? 0 : way == 1 ? 0xff : was ^ 1;
			if (read_blob(blob, size, &errors))
				assert_true(errors_any(&errors));
			errors_finish(&errors);
			blob[at] = was;
		}
	free(blob);
}

/* fdt_check_full() of libfdt 1.6.1 crashes on versions below 16. */
static void old_version(void **state)
{
	size_t size;
	void *blob = blob_of("", &size);
	struct errors errors = { 0 };

	fdt_set_version(blob, 15);
	fdt_set_last_comp_version(blob, 2);
	assert_int_equal(read_blob(blob, size, &errors), -EINVAL);
	assert_true(errors_say(&errors, "blob: version 15 of the tree format is too old"));
	errors_finish(&errors);
	free(blob);
}

/* Structures that libfdt lets through. */
static void odd_blobs(void **state)
{
	static const struct {
		const char *says;
		uint32_t structure[16];
	} odd[] = {
		{ "it does not begin with a root node", { FDT_END } },
		{ "blob: ", /* a second root; some versions of libfdt see it */ { FDT_BEGIN_NODE, 0, FDT_END_NODE, FDT_BEGIN_NODE, 0, FDT_END_NODE, FDT_END } },
		{ "a property follows a subnode", { FDT_BEGIN_NODE, 0, FDT_BEGIN_NODE, 0x61000000, FDT_END_NODE, FDT_PROP, 0, 0, FDT_END_NODE, FDT_END } },
		{ "a node's name", { FDT_BEGIN_NODE, 0, FDT_BEGIN_NODE, 0x611b0000, FDT_END_NODE, FDT_END_NODE, FDT_END } },
		{ "blob: ", { FDT_BEGIN_NODE, 0x61000000, FDT_END_NODE, FDT_END } },
	};

	for (size_t i = 0; i < ARRAY_SIZE(odd); i++) {
		uint32_t blob[48] = { 0 };
		struct errors errors = { 0 };

		fdt_set_magic(blob, FDT_MAGIC);
		fdt_set_totalsize(blob, sizeof(blob));
		fdt_set_version(blob, 17);
		fdt_set_last_comp_version(blob, 16);
		fdt_set_off_mem_rsvmap(blob, 40);
		fdt_set_off_dt_struct(blob, 56);
		fdt_set_size_dt_struct(blob, 64);
		fdt_set_off_dt_strings(blob, 120);
		fdt_set_size_dt_strings(blob, 8);
		for (size_t j = 0; j < 16; j++)
			blob[14 + j] = cpu_to_fdt32(odd[i].structure[j]);
		memcpy(&blob[30], "a\0b", 4);
		assert_int_equal(read_blob(blob, sizeof(blob), &errors), -EINVAL);
		if (!errors_say(&errors, odd[i].says))
			fail_msg("%s, not: %s", errors.lines[0], odd[i].says);
		errors_finish(&errors);
	}
}

/* ---- Good machines ---- */

static void good(void **state)
{
	struct machine_config *config = tree_source_good("&cpus { " CPU("@100", "0x100") " };"
		"&cpu0 { sluice,host-cpus = <2 3>; };"
		"/ { model = \"gateway\"; other { anything = <1>; interrupts = <0 48 4>; };"
		" options { sluice { compatible = \"sluice,options\"; stray-access = \"stop\"; }; };"
		" memory@90000000 { reg = <0x0 0x90000000 0x0 0x10000000 0x0 0x80000000 0x0 0x10000000>; }; };"
		"&chosen { sluice,initrd = \"/boot/initrd\"; };", &big_host);

	assert_string_equal(config->model, "gateway");
	assert_int_equal(config->cpu_count, 2);
	assert_int_equal(config->cpus[1].mpidr, 0x100);
	assert_string_equal(config->cpu_paths[1], "/cpus/cpu@100");
	assert_int_equal(CPU_COUNT(&config->cpus[0].host_cpus), 2);
	assert_true(CPU_ISSET(3, &config->cpus[0].host_cpus));
	assert_int_equal(CPU_COUNT(&config->cpus[1].host_cpus), 0);
	assert_int_equal(config->memory_count, 3);
	assert_int_equal(config->memory[0].gpa, RAM_BASE);
	assert_int_equal(config->memory[1].gpa, 0x80000000);
	assert_int_equal(config->memory[2].gpa, 0x90000000);
	assert_int_equal(config->reserved_count, 1);
	assert_int_equal(config->reserved[0].gpa, 4 * GiB);
	assert_int_equal(config->stray_access, STRAY_STOP);
	assert_string_equal(config->initrd.name, "/boot/initrd");
	/* Relative to the tree's folder. */
	assert_int_equal(strncmp(config->kernel.name, config->folder, strlen(config->folder)), 0);
	assert_string_equal(config->kernel.name + strlen(config->folder), "vmlinuz");
	assert_int_equal(config->ipa_bits_needed, 33);
	config_destroy(config);
}

static void window(void **state)
{
	struct machine_config *config = tree_source_good("&vmem0 { memslots = <16>; };", &big_host);
	const struct device_config *device = &config->devices[0];

	assert_int_equal(config->device_count, 1);
	assert_string_equal(device->id, "vmem0");
	assert_string_equal(device->path, "/vmem0");
	assert_true(device->has_window);
	assert_int_equal(device->window.gpa, 4 * GiB);
	assert_int_equal(device->window.size, 4 * GiB);
	assert_int_equal(device->window.slot_bytes, 256 * MiB);
	config_destroy(config);
}

/* The example of the seed: 500 slots of 1 GiB at 5 GiB. */
static void seed(void **state)
{
	struct machine_config *config = tree_source_good(WINDOW("0x1 0x40000000 0x7d 0x0") "&vmem0 { memslots = <500>; };", &ipa40);

	assert_int_equal(config->devices[0].window.gpa, UINT64_C(0x140000000));
	assert_int_equal(config->devices[0].window.slot_bytes, GiB);
	assert_int_equal(config->ipa_bits_needed, 39);
	config_destroy(config);
}

/* Windows that leave the number of slots to Sluice get on with what there is. */
static void slots_fit(void **state)
{
	struct machine_config *config = tree_source_good(SECOND_WINDOW("size = <0x10 0x0>;", ""), &few_slots);
	uint64_t slots = 0;

	for (size_t i = 0; i < config->device_count; i++)
		slots += config->devices[i].window.size / config->devices[i].window.slot_bytes;
	assert_in_range(slots, 17, 32);
	config_destroy(config);
	/* Without vhost its limit is nobody's; with it a window that may choose has larger slots. */
	config_destroy(tree_source_good("", &few_regions));
	config = tree_source_good("/ { a0 { compatible = \"sluice,virtio-vsock\"; cid = <3>; }; };", &few_regions);
	assert_int_equal(config->devices[1].window.slot_bytes, 256 * MiB);
	config_destroy(config);
}

static void placed(void **state)
{
	struct machine_config *config = tree_source_good("/delete-node/ &growth;"
		"&reserved { first: first { size = <0x0 0x40000000>; no-map; };"
		" second: second { size = <0x0 0x40000000>; alignment = <0x1 0x0>; no-map; };"
		" third: third { size = <0x0 0x20000000>; alloc-ranges = <0x0 0x60000000 0x0 0x40000000 0x2 0x0 0x1 0x0>; no-map; };"
		" firmware@70000000 { reg = <0x0 0x70000000 0x0 0x1000>; }; };"
		"&vmem0 { memory-region = <&first>; };"
		"/ { vmem1 { compatible = \"sluice,virtio-mem\"; memory-region = <&second>; };"
		"  vmem2 { compatible = \"sluice,virtio-mem\"; memory-region = <&third>; }; };", &big_host);
	const char *const paths[] = { "/reserved-memory/first@80000000", "/reserved-memory/second@100000000", "/reserved-memory/third@200000000" };
	const uint64_t places[] = { 0x80000000, 0x100000000, 0x200000000 };

	/* RAM ends at 0x60000000, the firmware spoils 0x60000000, so 0x80000000 is the first. */
	for (size_t i = 0; i < 3; i++) {
		const fdt64_t *reg;
		int len, node = fdt_path_offset(config->fdt, paths[i]);

		assert_int_equal(config->devices[i].window.gpa, places[i]);
		reg = fdt_getprop(config->fdt, node, "reg", &len);
		assert_int_equal(len, 16);
		assert_int_equal(fdt64_ld(reg), places[i]);
		assert_int_equal(fdt64_ld(reg + 1), config->devices[i].window.size);
		assert_null(fdt_getprop(config->fdt, node, "size", NULL));
		assert_null(fdt_getprop(config->fdt, node, "alloc-ranges", NULL));
	}
	assert_int_equal(config->reserved_count, 4);
	config_destroy(config);
}

/* Cells of one are as good. */
static void narrow(void **state)
{
	struct machine_config *config = NULL;
	struct errors errors = { 0 };

	assert_int_equal(tree_source_read("/dts-v1/; / { #address-cells = <1>; #size-cells = <1>;"
		"cpus { #address-cells = <2>; #size-cells = <0>; cpu@0 { device_type = \"cpu\"; reg = <0 0>; }; };"
		"memory@40000000 { reg = <0x40000000 0x10000000>; };"
		"reserved-memory { #address-cells = <1>; #size-cells = <1>; ranges; w: w { size = <0x40000000>; no-map; }; };"
		"vmem0 { compatible = \"sluice,virtio-mem\"; memory-region = <&w>; }; };", "", &big_host, &errors, &config), 0);
	assert_int_equal(config->memory[0].size, 256 * MiB);
	assert_int_equal(config->devices[0].window.gpa, 0x60000000);
	assert_int_equal(config->ipa_bits_needed, 32);
	assert_null(config->kernel.name);
	config_destroy(config);
	errors_finish(&errors);
}

/* The order of places: aliases, then names as people count. */
static void ports(void **state)
{
	struct machine_config *config = tree_source_good(
		PORTS("\"a.b-c_0\", \"log=file:log\", \"at=socket:/run/x=y\"") "/ { aliases { virtio0 = \"/ports0\"; }; };",
		&big_host);
	const struct device_config *device = &config->devices[0];

	assert_string_equal(device->id, "ports0");
	assert_int_equal(device->port_count, 3);
	assert_string_equal(device->ports[0].name, "a.b-c_0");
	assert_int_equal(device->ports[0].backend.kind, CONSOLE_NULL);
	assert_int_equal(device->ports[1].backend.kind, CONSOLE_FILE);
	assert_string_equal(device->ports[1].backend.port, "log");
	assert_int_equal(device->ports[2].backend.kind, CONSOLE_SOCKET);
	assert_string_equal(device->ports[2].backend.path.name, "/run/x=y");
	config_destroy(config);
}

static void order(void **state)
{
	static const char *const names[] = { "last", "vmem2", "vmem0", "vmem9", "vmem10" };
	struct machine_config *config = tree_source_good(
		"&reserved { a: a { size = <0 0x20000000>; no-map; }; b: b { size = <0 0x20000000>; no-map; };"
		" c: c { size = <0 0x20000000>; no-map; }; d: d { size = <0 0x20000000>; no-map; }; };"
		"/ { vmem10 { compatible = \"sluice,virtio-mem\"; memory-region = <&a>; };"
		" vmem2: vmem2 { compatible = \"sluice,virtio-mem\"; memory-region = <&b>; };"
		" vmem9 { compatible = \"sluice,virtio-mem\"; memory-region = <&c>; };"
		" last: last { compatible = \"sluice,virtio-mem\"; memory-region = <&d>; };"
		" gone: gone { compatible = \"sluice,virtio-mem\"; status = \"disabled\"; };"
		" aliases { virtio7 = &vmem2; virtio1 = &last; virtio0 = &gone; }; };", &big_host);

	assert_int_equal(config->device_count, ARRAY_SIZE(names));
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		assert_string_equal(config->devices[i].id, names[i]);
		assert_int_equal(config->devices[i].place, i);
	}
	config_destroy(config);
}

static void nearest(void **state)
{
	static const char *const names[] = { "memory-region", "memslots", "slot-size", NULL };

	assert_string_equal(nearest_name("memslot", names), "memslots");
	assert_string_equal(nearest_name("mmeslots", names), "memslots");
	assert_string_equal(nearest_name("memory_region", names), "memory-region");
	assert_null(nearest_name("interrupts", names));
	assert_null(nearest_name("", names));
}

static int remove_files(void **state)
{
	tree_source_finish();
	return 0;
}

#define TEST(function) { .name = #function, .test_func = function }

/* Of RAM's file a descriptor to read and write; check, too, reports that it is not there. */
static void ram_of_a_file(void **state)
{
	static const char change[] = "&memory { sluice,backing = \"file\"; sluice,file = \"ram.img\"; };";
	struct machine_config *config = tree_source_good(change, &big_host);
	const char *said = "/memory: sluice,file: ";
	struct errors errors = { 0 };
	enum backing_kind kind = BACKING_MEMFD;
	char path[300];
	int fd = 0;

	config_probe(config, true, false, &errors);
	assert_true(errors_say(&errors, said));
	assert_true(errors_say(&errors, "ram.img cannot be opened to be written: No such file or directory"));
	errors_finish(&errors);
	errors = (struct errors){ 0 };
	assert_false(config_open_ram(config, RAM_BASE, &errors, &kind, &fd));
	assert_true(errors_say(&errors, said));
	assert_int_equal(fd, -1);
	errors_finish(&errors);
	errors = (struct errors){ 0 };
	snprintf(path, sizeof(path), "%sram.img", config->folder);
	fclose(fopen(path, "w"));
	assert_true(config_open_ram(config, RAM_BASE, &errors, &kind, &fd));
	assert_int_equal(kind, BACKING_FILE);
	assert_int_equal(write(fd, "x", 1), 1);
	assert_int_equal(close(fd), 0);
	config_probe(config, true, false, &errors);
	assert_false(errors_say(&errors, said));
	errors_finish(&errors);
	unlink(path);
	/* Of other memory there is none. */
	errors = (struct errors){ 0 };
	assert_true(config_open_ram(config, RAM_BASE + 1, &errors, &kind, &fd));
	assert_int_equal(kind, BACKING_ANONYMOUS);
	assert_int_equal(fd, -1);
	config_destroy(config);
}

int main(void)
{
	static const struct CMUnitTest others[] = {
		TEST(files), TEST(no_dtc), TEST(overlays), TEST(truncated), TEST(spoilt), TEST(odd_blobs), TEST(old_version),
		TEST(good), TEST(window), TEST(seed), TEST(slots_fit), TEST(placed), TEST(narrow), TEST(ports),
		TEST(order), TEST(nearest), TEST(ram_of_a_file),
	};
	struct CMUnitTest tests[ARRAY_SIZE(wrong) + ARRAY_SIZE(others)];

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		tests[i] = (struct CMUnitTest){
			.name = wrong[i].name,
			.test_func = check_wrong,
			.initial_state = (void *)&wrong[i],
		};
	memcpy(&tests[ARRAY_SIZE(wrong)], others, sizeof(others));
	return _cmocka_run_group_tests("config", tests, ARRAY_SIZE(tests), NULL, remove_files);
}
