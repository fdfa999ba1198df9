/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rules of a machine's description that are no numbers (these are in test-limits.c): of each what
 * is refused, with one error, and beside it what is not. Then what a good description becomes.
 */
#include "tests/unit/helpers/unit.h"

#include <errno.h>
#include <libfdt.h>
#include <stdlib.h>
#include <string.h>

#include "board/config/tree-file.h"
#include "devices/device.h"
#include "devices/virtio/virtio-mem.h"
#include "tests/unit/helpers/tree-source.h"

static const struct host_limits gicv2_only = { 40, 256 * TiB, 0, 4 * KiB, 32767, 512, .gicv2 = true };
static const struct host_limits gicv3_only = { 40, 256 * TiB, 0, 4 * KiB, 32767, 512, .gicv3 = true };
static const struct host_limits both_gics = { 40, 256 * TiB, 0, 4 * KiB, 32767, 512, .gicv2 = true, .gicv3 = true };
static const struct host_limits no_kvm = { 40, 256 * TiB, 0, 4 * KiB, 32767, 512, .cpu_features = UINT32_MAX };

#define OPTIONS(properties) "/ { options { sluice { compatible = \"sluice,options\"; " properties " }; }; };"
#define FIRMWARE	    "&chosen { /delete-property/ sluice,kernel; sluice,firmware = \"f\"; sluice,flash = \"v\"; };"
#define NODE(text)	    "/ { " text " };"
#define PIC		    "pic: pic { interrupt-controller; #interrupt-cells = <1>; "
#define BUS(more)	    "soc { #address-cells = <1>; #size-cells = <1>; " more " uart@9000000 { reg = <0x09000000 0x1000>; }; };"
#define MEM		    "compatible = \"sluice,virtio-mem\";"
#define RNG		    "{ compatible = \"sluice,virtio-rng\"; };"

static const struct rule {
	const char *name, *passes, *refused; /* changes to the good machine; NULL: none */
	const char *says;
	const struct host_limits *host; /* NULL: big_host */
} rules[] = {
	/* Only firmware looks for its tree at the start of RAM; x0 says where it is to all others. */
	{ "reserved-at-the-start", "&reserved { fw { reg = <0 0x40000000 0 0x1000>; }; };", FIRMWARE "&reserved { fw { reg = <0 0x40000000 0 0x1000>; }; };", "/reserved-memory/fw: reg: reserved 0x40000000+0x1000 (4 KiB) overlaps the start of RAM, 0x40000000+0x1e0000 (1920 KiB), where firmware finds the device tree" },
	{ "memreserve-at-the-start", "/memreserve/ 0x40000000 0x1000;", "/memreserve/ 0x100000000 0x1000;", "overlaps /memreserve/" },

	/* A disabled node is not examined. */
	{ "options-disabled", OPTIONS("gic = \"gicv9\"; status = \"disabled\";"), OPTIONS("gic = \"gicv9\"; status = \"okay\";"), "/options/sluice: gic: \"gicv9\" is none of" },
	{ "cpu-disabled", "&cpus { cpu@99 { reg = <0x99>; status = \"disabled\"; }; };", "&cpus { cpu@99 { reg = <0x99>; status = \"ok\"; }; };", "/cpus/cpu@99: reg: 0x99 is no MPIDR" },
	{ "all-cpus-disabled", NULL, "&cpu0 { status = \"disabled\"; };", "/cpus: the machine has no CPU" },
	{ "memory-disabled", NODE("memory@1 { reg = <0 1 0 1>; status = \"disabled\"; };"), NODE("memory@1 { reg = <0 1 0 1>; };"), "/memory@1: reg: memory 0x1+0x1 (1 bytes) begins below" },
	{ "reserved-disabled", FIRMWARE "&reserved { fw { reg = <0 0x40000000 0 0x1000>; status = \"disabled\"; }; };", FIRMWARE "&reserved { fw { reg = <0 0x40000000 0 0x1000>; }; };", "/reserved-memory/fw: reg: reserved 0x40000000+0x1000 (4 KiB) overlaps the start of RAM" },
	{ "device-disabled", NODE("dev0 { " MEM " status = \"disabled\"; };"), NODE("dev0 { " MEM " status = \"okay\"; };"), "/dev0: memory-region: missing: a sluice,virtio-mem needs it" },
	{ "alias-of-a-disabled-device", NODE("dev0 { " MEM " status = \"disabled\"; }; aliases { virtio0 = \"/dev0\"; };"), NODE("dev0 { status = \"disabled\"; }; aliases { virtio0 = \"/dev0\"; };"), "/aliases: virtio0: \"/dev0\" is not a virtio device of this machine" },
	{ "status-fail", "&cpus { cpu@99 { reg = <0x99>; status = \"fail\"; }; };", "&cpus { cpu@99 { reg = <9>; status = \"failed\"; }; };", "/cpus/cpu@99: status: \"failed\" is none of \"okay\"" },
	{ "status-fail-why", "&cpus { cpu@99 { reg = <0x99>; status = \"fail-clock\"; }; };", "&cpus { cpu@99 { reg = <9>; status = \"fai\"; }; };", "/cpus/cpu@99: status: \"fai\" is none of \"okay\"" },
	{ "status-reserved", "&cpus { cpu@99 { reg = <0x99>; status = \"reserved\"; }; };", "&cpus { cpu@99 { reg = <9>; status = \"reserve\"; }; };", "/cpus/cpu@99: status: \"reserve\" is none of \"okay\"" },
	{ "memory-failed", NODE("memory@1 { reg = <0 1 0 1>; status = \"fail\"; };"), NODE("memory@1 { reg = <0 1 0 1>; status = \"ok\"; };"), "/memory@1: reg: memory 0x1+0x1 (1 bytes) begins below" },
	{ "reserved-reserved", FIRMWARE "&reserved { fw { reg = <0 0x40000000 0 0x1000>; status = \"reserved\"; }; };", FIRMWARE "&reserved { fw { reg = <0 0x40000000 0 0x1000>; status = \"okay\"; }; };", "/reserved-memory/fw: reg: reserved" },
	{ "device-failed", NODE("dev0 { " MEM " status = \"fail-sss\"; };"), NODE("dev0 { " MEM " status = \"ok\"; };"), "/dev0: memory-region: missing: a sluice,virtio-mem needs it" },

	/* Options. */
	{ "options-unmarked", NULL, NODE("options { sluice { gic = \"gicv3\"; }; };"), "/options/sluice: compatible: missing: write \"sluice,options\"" },
	{ "options-subnode", NULL, OPTIONS("sub { };"), "/options/sluice/sub: unknown: the options have no subnodes" },
	{ "options-of-others", NODE("options { u-boot { anything; }; };"), NODE("options { u-boot { compatible = \"sluice,options\"; }; };"), "/options/u-boot: compatible: \"sluice,options\" is unknown here" },
	{ "its-that-the-host-has-not", OPTIONS("gic = \"gicv3\";"), OPTIONS("gic = \"gicv3-its\";"), "/options/sluice: gic: KVM on this host has no gicv3-its; it has gicv3: leave it out", &gicv3_only },
	{ "gicv2-that-the-host-has-not", OPTIONS("gic = \"gicv3\";"), OPTIONS("gic = \"gicv2\";"), "/options/sluice: gic: KVM on this host has no gicv2; it has gicv3: leave it out", &gicv3_only },
	{ "gicv3-that-the-host-has-not", OPTIONS("gic = \"gicv2\";"), OPTIONS("gic = \"gicv3\";"), "/options/sluice: gic: KVM on this host has no gicv3; it has gicv2: leave it out", &gicv2_only },
	{ "gics-of-the-host", OPTIONS("gic = \"gicv3-its\";"), OPTIONS("gic = \"gicv1\";"), "/options/sluice: gic: \"gicv1\" is none of" },
	{ "gics-of-both", OPTIONS("gic = \"gicv2\";"), OPTIONS("gic = \"gicv3-its\";"), "/options/sluice: gic: KVM on this host has no gicv3-its; it has gicv2 gicv3: leave it out", &both_gics },
	{ "gic-without-kvm", OPTIONS("gic = \"gicv3-its\";"), NULL, NULL, &no_kvm },
	{ "gicv2-without-kvm", OPTIONS("gic = \"gicv2\";"), NULL, NULL, &no_kvm },

	/* CPUs and memory are known by name or by type. */
	{ "cpu-by-type", "&cpus { core@1 { reg = <0x99>; }; };", "&cpus { core@1 { device_type = \"cpu\"; reg = <0x99>; }; };", "/cpus/core@1: reg: 0x99 is no MPIDR" },
	{ "memory-by-type", NODE("ram@1 { reg = <0 1 0 1>; };"), NODE("ram@1 { device_type = \"memory\"; reg = <0 1 0 1>; };"), "/ram@1: reg: memory 0x1+0x1" },
	{ "cpu-reg-of-two", NULL, "&cpu0 { reg = <0 0>; };", "/cpus/cpu@0: reg: 8 bytes where one number of 1 cells belongs" },
	{ "nested-where-it-is", "&cpus { sluice,nested; };", NULL, NULL },
	{ "balloon-not-nested", NODE("b0 { compatible = \"sluice,virtio-balloon\"; };"), "&cpus { sluice,nested; };" NODE("b0 { compatible = \"sluice,virtio-balloon\"; };"), "/b0: not in a machine with sluice,nested" },

	/* Reserved memory. */
	{ "memory-reg-of-nothing", NULL, "&memory { reg; };", "/memory@40000000: reg: 0 bytes are not addresses of 2 and sizes of 2 cells" },
	{ "linux-phandle", "&vmem0 { linux,phandle = <77>; };", "&vmem0 { linux,phandles = <77>; };", "/vmem0: linux,phandles: unknown" },
	{ "reserved-size-cells", NULL, "&reserved { #size-cells = <1>; }; &growth { reg = <0x1 0x0 0xc0000000>; };", "/reserved-memory: #address-cells: #address-cells and #size-cells have to be the root's, <2> and <2>" },
	{ "reserved-without-cells", NULL, "&reserved { /delete-property/ #size-cells; /delete-node/ growth@100000000; }; /delete-node/ &vmem0;", "/reserved-memory: #size-cells: write #size-cells" },
	{ "reserved-ranges-not-empty", NULL, "&reserved { ranges = <0 0 0 0 0 1>; };", "/reserved-memory: ranges: must be here, empty" },
	{ "reserved-nobody's", "&reserved { fw { reg = <0 0x50000000 0 0x1000>; }; };", "&reserved { fw { }; };", "/reserved-memory/fw: reg: missing: give reg" },
	{ "reserved-is-not-judged", "&reserved { fw { compatible = \"acme,fw\"; reg = <0 0x50000000 0 0x1000>; interrupts = <0 16 4>; below { interrupts = <0 16 4>; }; }; };", NULL, NULL },
	{ "placed-behind-all", NULL, "&growth { /delete-property/ reg; size = <0x0 0x40000000>; }; &reserved { fw { reg = <0x0 0x60000000 0xffffffff 0x9fffffff>; }; };", "/reserved-memory/growth@100000000: size: no place for 1 GiB" },
	{ "window-on-disabled-memory", NODE("memory@100000000 { reg = <1 0 0 0x200000>; status = \"disabled\"; };"), NODE("memory@100000000 { reg = <1 0 0 0x200000>; };"), "/vmem0: memory-region: window" },

	/* Properties by the class's table. */
	{ "region-of-no-phandle", NULL, "&reserved { fw { reg = <0 0x50000000 0 0x1000>; }; }; &vmem0 { memory-region = <0>; };", "/vmem0: memory-region: names no enabled child" },
	{ "region-of-two", NULL, "&vmem0 { memory-region = <&growth &growth>; };", "/vmem0: memory-region: 8 bytes where a 32-bit number belongs" },
	{ "flag-with-value", NODE("d0 { compatible = \"sluice,virtio-blk\"; file = \"x\"; read-only; };"), NODE("d0 { compatible = \"sluice,virtio-blk\"; file = \"x\"; read-only = <1>; };"), "/d0: read-only: takes no value" },
	{ "u32-of-12-bytes", NULL, "&vmem0 { memslots = <1 2 3>; };", "/vmem0: memslots: 12 bytes where a 32-bit number belongs: write <N>" },
	{ "u32-in-8-bytes", NULL, "&vmem0 { memslots = <0 0xffffffff>; };", "/vmem0: memslots: 8 bytes where a 32-bit number belongs: write <0xffffffff>" },
	{ "u32-beyond-8-bytes", NULL, "&vmem0 { memslots = <1 0>; };", "/vmem0: memslots: 8 bytes where a 32-bit number belongs: write <N>" },
	{ "string-empty", NULL, "&vmem0 { stray-reads; };", "/vmem0: stray-reads: one string belongs here" },
	{ "path-missing", NULL, NODE("d0 { compatible = \"sluice,virtio-blk\"; };"), "/d0: file: missing: a sluice,virtio-blk needs it" },
	{ "memslots-or-slot-size", NULL, "&vmem0 { memslots = <4>; slot-size = /bits/ 64 <0x8000000>; };", "/vmem0: slot-size: takes the place of memslots" },
	{ "vhost-of-a-tap", NODE("n0 { compatible = \"sluice,virtio-net\"; tap = \"t\"; vhost; };"), NODE("n0 { compatible = \"sluice,virtio-net\"; passt; vhost; };"), "/n0: vhost: carries a tap's frames" },

	/* Names. */
	{ "id", NODE("Az_0-9 " RNG), NODE("a.b " RNG), "/a.b: a device's id is its node's name" },
	{ "id-comma", NULL, NODE("a,b " RNG), "/a,b: a device's id is its node's name" },
	{ "id-plus", NULL, NODE("a+b " RNG), "/a+b: a device's id is its node's name" },
	{ "mergeable", "&memory { sluice,mergeable; }; &vmem0 { mergeable; };", "&memory { sluice,mergeable = <1>; };", "/memory@40000000: sluice,mergeable: takes no value" },
	{ "mergeable-memfd", "&vmem0 { backing = \"memfd\"; };", "&vmem0 { mergeable; backing = \"memfd\"; };", "/vmem0: mergeable: the host merges equal pages of backing = \"anonymous\" alone" },
	{ "backing-of-ram", "&memory { sluice,backing = \"memfd\"; };", "&memory { sluice,backing = \"memfs\"; };", "/memory@40000000: sluice,backing: \"memfs\" is none of anonymous, memfd, hugetlb, file; did you mean memfd?" },
	{ "backing-no-string", "&memory { sluice,backing = \"hugetlb\"; };", "&memory { sluice,backing = <1>; };", "/memory@40000000: sluice,backing: one string belongs here" },
	{ "backing-mergeable", "&memory { sluice,backing = \"anonymous\"; sluice,mergeable; };", "&memory { sluice,backing = \"memfd\"; sluice,mergeable; };", "/memory@40000000: sluice,mergeable: the host merges equal pages of sluice,backing = \"anonymous\" alone" },
	{ "backing-without-a-file", "&memory { sluice,backing = \"file\"; sluice,file = \"f\"; };", "&memory { sluice,backing = \"file\"; };", "/memory@40000000: sluice,file: missing: sluice,backing = \"file\" needs it" },
	{ "file-of-no-backing", NULL, "&memory { sluice,file = \"f\"; };", "/memory@40000000: sluice,file: goes with sluice,backing = \"file\", and no other" },
	{ "file-of-a-memfd", NULL, "&memory { sluice,backing = \"memfd\"; sluice,file = \"f\"; };", "/memory@40000000: sluice,file: goes with" },
	{ "file-without-a-name", NULL, "&memory { sluice,backing = \"file\"; sluice,file = \"\"; };", "/memory@40000000: sluice,file: the path is empty" },
	{ "file-of-several-ranges", NULL, "&memory { reg = <0 0x40000000 0 0x10000000>, <0 0x50000000 0 0x200000>; sluice,backing = \"file\"; sluice,file = \"f\"; };", "/memory@40000000: sluice,file: is one, and the node has 2 ranges" },
	{ "backing-elsewhere", NULL, "&growth { sluice,backing = \"memfd\"; };", "sluice,backing: belongs in a node of memory" },
	{ "mergeable-on-a-window", "&growth { };", "&growth { sluice,mergeable; };", "sluice,mergeable: belongs in a node of memory" },
	{ "alias-no-string", NULL, NODE("aliases { virtio0 = <1>; };"), "/aliases: virtio0: one string belongs here" },
	/* libfdt follows an alias of an alias, of itself too. */
	{ "alias-of-itself", NULL, NODE("aliases { virtio0 = \"virtio0\"; };"), "/aliases: virtio0: \"virtio0\" is not a virtio device" },
	{ "alias-of-another-kind", NODE("aliases { ethernet0 = \"/nowhere\"; virtio = \"/nowhere\"; virtiox = \"/nowhere\"; virtio00 = \"/nowhere\"; virtio1000000 = \"/nowhere\"; };"), NODE("aliases { virtio999999 = \"/nowhere\"; };"), "/aliases: virtio999999: \"/nowhere\" is not a virtio device" },
	{ "class-second", NULL, NODE("d0 { compatible = \"acme,disk\", \"sluice,virtio-blx\"; };"), "/d0: compatible: \"sluice,virtio-blx\" is unknown here; did you mean sluice,virtio-blk?" },
	{ "class-of-the-root", NULL, NODE("compatible = \"sluice,virtio-mem\";"), "/: compatible: \"sluice,virtio-mem\" belongs in a direct child of the root" },
	{ "machine-below", NULL, NODE("m { compatible = \"sluice,machine\"; };"), "/m: compatible: \"sluice,machine\" is unknown here" },
	{ "prefix-far", "&chosen { sluice,initrd = \"i\"; };", NODE("a { chosen { sluice,initrd = \"i\"; }; };"), "/a/chosen: sluice,initrd: belongs in /chosen, not here" },
	{ "host-cpus-place", "&cpu0 { sluice,host-cpus = <0>; };", "&cpus { sluice,host-cpus = <0>; };", "/cpus: sluice,host-cpus: belongs in a CPU's node, not here" },
	{ "host-cpus-of-no-cpu", NULL, "&cpus { cpu-map { sluice,host-cpus = <0>; }; };", "/cpus/cpu-map: sluice,host-cpus: belongs in a CPU's node, not here" },
	{ "rt-priority-place", "&cpu0 { sluice,rt-priority = <1>; };", NODE("cpu@0 { sluice,rt-priority = <1>; };"), "/cpu@0: sluice,rt-priority: belongs in a CPU's node, not here" },
	{ "features-below", "&cpus { sluice,pmu = \"auto\"; };", NODE("a { cpus { sluice,pmu = \"auto\"; }; };"), "/a/cpus: sluice,pmu: belongs in /cpus, not here" },

	/* Interrupts. */
	{ "interrupts-of-another", NODE(PIC "child { interrupts = <16>; }; };"), NODE("pic { child { interrupts = <0 16 4>; }; };"), "/pic/child: interrupts: SPI 16 is Sluice's" },
	{ "interrupts-of-another's-own", NODE(PIC "interrupts = <0 48 4>; };"), NODE(PIC "interrupts = <0 47 4>; };"), "/pic: interrupts: SPI 47 is Sluice's" },
	{ "interrupts-by-parent", NODE(PIC "}; dev { interrupt-parent = <&pic>; interrupts = <16>; };"), NODE(PIC "}; dev { interrupts = <16>; };"), "/dev: interrupts: the machine's interrupts have three cells" },
	{ "interrupts-by-parent-below", NODE(PIC "}; bus { interrupt-parent = <&pic>; dev { interrupts = <16>; }; };"), NULL, NULL },
	{ "interrupts-by-a-nexus", NODE("nexus: nexus { #interrupt-cells = <1>; interrupt-map = <1 &pic 7>; }; " PIC "}; dev { interrupt-parent = <&nexus>; interrupts = <16>; };"),
		NODE("nexus: nexus { #interrupt-cells = <1>; }; dev { interrupt-parent = <&nexus>; interrupts = <16>; };"), "/dev: interrupt-parent: 0x" },
	{ "interrupts-of-a-bus", NULL, NODE("a { b { c { interrupts = <0 1 4>; }; }; };"), "/a/b/c: interrupts: SPI 1 is Sluice's" },
	{ "interrupts-several", NODE("dev { interrupts = <0 48 4 1 8 4>; };"), NODE("dev { interrupts = <0 48 4 0 7 4>; };"), "/dev: interrupts: SPI 7 is Sluice's" },
	{ "interrupts-cells", NULL, NODE("dev { interrupts = <0 48 4 0>; };"), "/dev: interrupts: the machine's interrupts have three cells" },

	/* Addresses. */
	{ "bus-not-passed-through", NODE(BUS("")), NODE(BUS("ranges;")), "/soc/uart@9000000: reg: 0x9000000+0x1000 is Sluice's: the UART" },
	{ "bus-elsewhere", NODE(BUS("ranges = <0x0 0x0 0x50000000 0x1000>;")), NODE(BUS("ranges = <0x0 0x0 0x9000fff 0x1>, <0x1000 0x0 0x50000000 0x1000>;")), "/soc: ranges: 0x9000fff+0x1 is Sluice's: the UART" },
	{ "bus-of-three-cells", NODE("soc { #address-cells = <3>; #size-cells = <2>; ranges; d { reg = <0 0 0x9000000 0 0x1000>; }; };"), NODE("soc { #address-cells = <2>; #size-cells = <2>; ranges; d { reg = <0 0x9000000 0 0x1000>; }; };"), "/soc/d: reg: 0x9000000+0x1000 is Sluice's" },
	{ "bus-of-three-cells-ranges", NODE("soc { #address-cells = <4>; #size-cells = <2>; ranges = <0 0 0 0 0 0x9000000 0 0x1000>; };"), NODE("soc { #address-cells = <3>; #size-cells = <2>; ranges = <0 0 0 0 0x9000000 0 0x1000>; };"), "/soc: ranges: 0x9000000+0x1000 is Sluice's" },
	{ "bus-of-usual-cells", NODE("soc { ranges; d { reg = <0 0x9001000 0x1000>; }; };"), NODE("soc { ranges; d { reg = <0 0x9000000 0x1000>; }; };"), "/soc/d: reg: 0x9000000+0x1000 is Sluice's" },
	{ "reg-second", NODE("d { reg = <0 0x9001000 0 0x1000 0 0x9002000 0 0x1000>; };"), NODE("d { reg = <0 0x9001000 0 0x1000 0 0x9010000 0 0x1000>; };"), "/d: reg: 0x9010000+0x1000 is Sluice's: the real-time clock" },
	{ "reg-empty", NODE("d { reg = <0 0x9000000 0 0>; };"), NODE("d { reg = <0 0x9000000 0 1>; };"), "/d: reg: 0x9000000+0x1 is Sluice's" },
	{ "reg-wraps", NODE("d { reg = <0xffffffff 0xfffff000 0 0x1000>; };"), NULL, NULL },
	{ "reg-behind-window", NODE("d { reg = <2 0 0 1>; };"), NODE("d { reg = <1 0xffffffff 0 1>; };"), "/d: reg: 0x1ffffffff+0x1 is Sluice's: /vmem0 is at 0x100000000+0x100000000" },
	{ "reg-before-window", NODE("d { reg = <0 0xffffffff 0 1>; };"), NODE("d { reg = <0 0xffffffff 0 2>; };"), "/d: reg: 0xffffffff+0x2 is Sluice's: /vmem0" },
	{ "own-deeper", NODE("fw { timer { compatible = \"arm,armv8-timer\"; }; };"), NODE("timer@1 { };"), "/timer@1: Sluice puts its own timer" },
	{ "own-begins-alike", NODE("timers { }; psci-x { }; };/ { memoryx { };"), NULL, NULL },
};

static void refuse(const char *change, const char *says, const struct host_limits *host)
{
	struct machine_config *config = NULL;
	struct errors errors = { 0 };

	assert_int_equal(tree_source_read(good_machine, change, host, &errors, &config), -EINVAL);
	assert_null(config);
	if (errors.count != 1 || !errors_lead(&errors, says)) {
		errors_show(&errors);
		fail_msg("not said, or not alone, for %s: %s", change, says);
	}
	errors_finish(&errors);
}

static void pass(const char *change, const struct host_limits *host)
{
	config_destroy(tree_source_good(change, host));
}

/* A machine is good, and of what may be meant otherwise there is one warning; or none. */
static const struct {
	const char *change, *says; /* says NULL: nothing */
} warned[] = {
	{ "&memory { }; / { stub@50 { reg = <0 0x50 0 1>; }; stub@51 { }; stub@a,b { reg = <0 1 0 1>; }; i2c { #address-cells = <1>; #size-cells = <0>; chip@2a { reg = <0x2a>; }; }; };", NULL },
	{ NODE("stub@50 { reg = <0 0x51 0 1>; };"), "/stub@50: reg: begins with 0x51, and the node's name says @50: let it end in @51" },
	{ "/ { i2c { #address-cells = <1>; #size-cells = <0>; chip@2a { reg = <0x2b>; }; }; };", "/i2c/chip@2a: reg: begins with 0x2b" },
	{ "&growth { reg = <0x2 0x0 0x1 0x0>; };", "/reserved-memory/growth@100000000: reg: begins with 0x200000000" },
	{ "&cpus { cpu@2 { reg = <1>; }; };", "/cpus/cpu@2: reg: begins with 0x1" },
	{ "&chosen { /delete-property/ sluice,kernel; sluice,firmware = \"f\"; };", "/chosen: sluice,firmware: neither U-Boot nor UEFI comes up without a flash" },
	{ "&chosen { /delete-property/ sluice,kernel; sluice,firmware = \"f\"; sluice,flash = \"v\"; };", NULL },
	{ "&chosen { /delete-property/ sluice,kernel; sluice,firmware = \"f\"; sluice,flash = \"v\"; }; &memory { reg = <0x0 0x40000000 0x0 0x10000000 0x0 0x60000000 0x0 0x10000000>; };",
		"/memory@40000000: reg: UEFI firmware reads one address and one size" },
	{ "&chosen { stdout-path = \"serial0:115200n8\"; };", NULL },
	{ "&reserved { pool: pool@50000000 { reg = <0 0x50000000 0 0x1000>; }; }; / { rproc { memory-region = <&pool>; }; };", NULL },
	{ "&reserved { pool: pool@50000000 { reg = <0 0x50000000 0 0x1000>; }; }; / { bus { rproc { memory-region = <&pool>, <&growth>; }; }; };",
		"/bus/rproc: memory-region: refers to the window of a virtio-mem device, which is not in the guest's tree: give this node reserved memory" },
	{ "&vmem0 { status = \"disabled\"; }; / { rproc { memory-region = <&growth>; }; };", "/rproc: memory-region: refers to the window" },
	{ "/ { rproc { memory-region = <&growth>; status = \"disabled\"; }; vmem1 { compatible = \"sluice,virtio-mem\"; memory-region = <&growth>; status = \"disabled\"; }; };", NULL },
	{ "&chosen { stdout-path = \"/pl011@9000000\"; };", NULL },
	{ "&chosen { stdout-path = \"console:9600\"; }; / { aliases { console = \"/pl011@9000000\"; }; };", NULL },
	{ "&chosen { stdout-path = \"serial1\"; };", "/chosen: stdout-path: the guest's early messages go to serial1, which is no console" },
	{ "&chosen { stdout-path = \"serial0:1500000n8\"; }; / { aliases { serial0 = \"/uart@feb50000\"; }; uart@feb50000 { reg = <0 0xfeb50000 0 0x100>; }; };",
		"/chosen: stdout-path: the guest's early messages go to /uart@feb50000, which is no console of this machine's. Leave stdout-path out" },
};

static void check_warned(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(warned); i++) {
		struct machine_config *config = NULL;
		struct errors errors = { 0 };
		char says[256];

		assert_int_equal(tree_source_read(good_machine, warned[i].change, &big_host, &errors, &config), 0);
		snprintf(says, sizeof(says), "warning: %s", warned[i].says ? warned[i].says : "");
		if (errors.count != !!warned[i].says || (warned[i].says && !errors_lead(&errors, says))) {
			errors_show(&errors);
			fail_msg("not said, or not alone, for %s: %s", warned[i].change, says);
		}
		config_destroy(config);
		errors_finish(&errors);
	}
}

static void check_rule(void **state)
{
	const struct rule *rule = *state;
	const struct host_limits *host = rule->host ? rule->host : &big_host;

	if (rule->passes)
		pass(rule->passes, host);
	if (rule->refused)
		refuse(rule->refused, rule->says, host);
}

/* ---- What is Sluice's: all of it, to the byte ---- */

#define REFUSE(says, ...)                                                                          \
	do {                                                                                       \
		char change[512];                                                                  \
		snprintf(change, sizeof(change), __VA_ARGS__);                                     \
		refuse(change, says, &big_host);                                                   \
	} while (0)
#define PASS(...)                                                                                  \
	do {                                                                                       \
		char change[512];                                                                  \
		snprintf(change, sizeof(change), __VA_ARGS__);                                     \
		pass(change, &big_host);                                                           \
	} while (0)

static void own_addresses(void **state)
{
	static const struct {
		unsigned first, end;
		const char *says;
	} own[] = {
		{ 0x08000000, 0x09001000, "is Sluice's: the " },
		{ 0x09010000, 0x09011000, "is Sluice's: the real-time clock" },
		{ 0x09030000, 0x09031000, "is Sluice's: the power button's GPIO" },
		{ 0x090a0000, 0x090b0000, "is Sluice's: stolen time" },
		{ 0x090d0000, 0x090d1000, "is Sluice's: the watchdog" },
		{ 0x0a000000, 0x0a004000, "is Sluice's: virtio-mmio" },
		{ 0x10000000, 0x14000000, "is Sluice's: the interrupt controller" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(own); i++) {
		PASS("/ { a { reg = <0 0x%x 0 0x10>; }; b { reg = <0 0x%x 0 0x10>; }; };", own[i].first - 0x10, own[i].end);
		REFUSE(own[i].says, "/ { a { reg = <0 0x%x 0 0x11>; }; };", own[i].first - 0x10);
		REFUSE(own[i].says, "/ { b { reg = <0 0x%x 0 0x1>; }; };", own[i].end - 1);
	}
	REFUSE("is Sluice's: the interrupt controller", "/ { a { reg = <0 0x8ffffff 0 1>; }; };");
	REFUSE("is Sluice's: the UART", "/ { a { reg = <0 0x9000000 0 1>; }; };");
	/* The banks of flash, where there are any. */
	PASS("/ { a { reg = <0 0 0 0x8000000>; }; };");
	PASS("&chosen { sluice,flash = \"f\"; }; / { a { reg = <0 0 0 0x4000000>; }; };");
	REFUSE("is Sluice's: the flash", "&chosen { sluice,flash = \"f\"; }; / { a { reg = <0 0x7ffffff 0 1>; }; };");
	REFUSE("is Sluice's: the flash", "&chosen { sluice,flash = \"f\"; }; / { a { reg = <0 0 0 0x4000001>; }; };");
	PASS("&chosen { /delete-property/ sluice,kernel; sluice,firmware = \"f\"; sluice,flash = \"v\"; }; / { a { reg = <0 0x8000000 0 0>; }; };");
	REFUSE("is Sluice's: the firmware", "&chosen { /delete-property/ sluice,kernel; sluice,firmware = \"f\"; sluice,flash = \"v\"; }; / { a { reg = <0 0 0 1>; }; };");
	REFUSE("is Sluice's: the firmware", "&chosen { /delete-property/ sluice,kernel; sluice,firmware = \"f\"; sluice,flash = \"v\"; }; / { a { reg = <0 0x3ffffff 0 1>; }; };");
}

static void own_interrupts(void **state)
{
	static const struct {
		unsigned type, first, last;
		bool own;
	} all[] = {
		{ 0, 0, 0 }, { 0, 1, 2, true }, { 0, 3, 6 }, { 0, 7, 7, true }, { 0, 8, 9 }, { 0, 10, 10, true }, { 0, 11, 15 }, { 0, 16, 47, true }, { 0, 48, 49 },
		{ 1, 0, 6 }, { 1, 7, 7, true }, { 1, 8, 8 }, { 1, 9, 14, true }, { 1, 15, 16 },
	};
	char free_ones[1024] = "";

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		for (unsigned n = all[i].first; n <= all[i].last; n++) {
			char says[64];

			snprintf(says, sizeof(says), "/dev: interrupts: %s %u is Sluice's: SPIs from 48 on are free", all[i].type ? "PPI" : "SPI", n);
			if (all[i].own && (n < 17 || n == 47))
				REFUSE(says, "/ { dev { interrupts = <%u %u 4>; }; };", all[i].type, n);
			else if (!all[i].own)
				sprintf(free_ones + strlen(free_ones), " %u %u 4", all[i].type, n);
		}
	PASS("/ { dev { interrupts = <%s>; }; };", free_ones);
}

static void own_nodes(void **state)
{
	static const char *const names[] = { "hypervisor", "psci", "timer", "pmu", "apb-pclk", "gpio-keys", "intc", "interrupt-controller" };
	static const char *const compatibles[] = { "linux,kvm", "arm,psci", "arm,psci-0.2", "arm,psci-1.0", "arm,armv8-timer", "arm,armv7-timer", "arm,armv8-pmuv3",
		"arm,gic-v3", "arm,gic-400", "arm,cortex-a15-gic", "virtio,mmio" };
	char says[128];

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		snprintf(says, sizeof(says), "/%s@1: Sluice puts its own %s into the guest's tree", names[i], names[i]);
		REFUSE(says, "/ { %s@1 { }; };", names[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(compatibles); i++) {
		snprintf(says, sizeof(says), "/x: Sluice puts its own %s into the guest's tree", compatibles[i]);
		REFUSE(says, "/ { x { compatible = \"acme,x\", \"%s\"; }; };", compatibles[i]);
	}
}

/* ---- What a good description becomes ---- */

static void gic_of_the_host(void **state)
{
	static const struct {
		const struct host_limits *host;
		unsigned version;
	} hosts[] = { { &gicv2_only, 2 }, { &gicv3_only, 3 }, { &both_gics, 3 }, { &no_kvm, 3 } };

	for (size_t i = 0; i < ARRAY_SIZE(hosts); i++) {
		struct machine_config *config = tree_source_good("", hosts[i].host);

		assert_int_equal(config->gic_version, hosts[i].version);
		assert_false(config->its);
		config_destroy(config);
	}
}

static void options(void **state)
{
	static const char *const policies[] = { [STRAY_ABORT] = "abort", [STRAY_PAUSE] = "pause", [STRAY_STOP] = "stop" };
	static const struct {
		const char *name;
		unsigned version;
		bool its;
	} gics[] = { { "gicv2", 2, false }, { "gicv3", 3, false }, { "gicv3-its", 3, true } };
	struct machine_config *config;
	char change[256];

	for (size_t i = 0; i < 3; i++) {
		snprintf(change, sizeof(change), OPTIONS("stray-access = \"%s\"; gic = \"%s\"; console = \"file:log\";"), policies[i], gics[i].name);
		config = tree_source_good(change, &big_host);
		assert_int_equal(config->stray_access, i);
		assert_int_equal(config->gic_version, gics[i].version);
		assert_int_equal(config->its, gics[i].its);
		assert_int_equal(config->console.kind, CONSOLE_FILE);
		assert_memory_equal(config->console.path.name, config->folder, strlen(config->folder));
		assert_string_equal(config->console.path.name + strlen(config->folder), "log");
		config_destroy(config);
	}
	config = tree_source_good(OPTIONS("status = \"disabled\"; stray-access = \"stop\"; gic = \"gicv2\"; console = \"null\";"), &big_host);
	assert_int_equal(config->stray_access, STRAY_ABORT);
	assert_int_equal(config->gic_version, 3);
	assert_int_equal(config->console.kind, CONSOLE_STDIO);
	config_destroy(config);
}

/* Each feature by its own property, and no other. */
static void features(void **state)
{
	static const char *const names[] = { [CPU_PMU] = "pmu", [CPU_SVE] = "sve", [CPU_POINTER_AUTH] = "pointer-authentication", [CPU_STOLEN_TIME] = "stolen-time" };

	for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
		struct host_limits all_but = big_host;
		struct machine_config *config;
		char change[128], says[128];

		snprintf(change, sizeof(change), "&cpus { sluice,%s = \"off\"; };", names[i]);
		config = tree_source_good(change, &big_host);
		assert_int_equal(config->cpu_features, 0xf & ~(1u << i));
		config_destroy(config);
		all_but.cpu_features &= ~(1u << i);
		snprintf(change, sizeof(change), "&cpus { sluice,%s = \"auto\"; };", names[i]);
		config = tree_source_good(change, &all_but);
		assert_int_equal(config->cpu_features, 0xf & ~(1u << i));
		config_destroy(config);
		snprintf(change, sizeof(change), "&cpus { sluice,%s = \"on\"; };", names[i]);
		config = tree_source_good(change, &big_host);
		assert_int_equal(config->cpu_features, 0xf);
		config_destroy(config);
		snprintf(says, sizeof(says), "/cpus: sluice,%s: \"on\", and this host's", names[i]);
		refuse(change, says, &all_but);
	}
}

/* The bits that reach the highest byte of memory and windows, 32 at least. */
static const struct host_limits far = { 48, 512 * TiB, 0, 4 * KiB, 32767, 512, .gicv3 = true };

static void address_bits(void **state)
{
	static const struct {
		const char *change;
		unsigned bits;
	} tops[] = {
		{ "/delete-node/ &vmem0;", 32 },
		{ "&growth { reg = <0x0 0x80000000 0x0 0x80000000>; };", 32 },
		{ "&memory { reg = <0x0 0x40000000 0x0 0x40000000>; }; &growth { reg = <0x0 0x80000000 0x0 0x80200000>; };", 33 },
		{ "&growth { reg = <0x1 0x0 0x1 0x0>; };", 33 },
		{ "/delete-node/ &vmem0; / { memory@2 { reg = <0x1 0xffe00000 0x0 0x200000>; }; };", 33 },
		{ "/delete-node/ &vmem0; / { memory@2 { reg = <0x2 0x0 0x0 0x200000>; }; };", 34 },
		{ "&growth { reg = <0x8000 0x0 0x8000 0x0>; };", 48 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(tops); i++) {
		struct machine_config *config = tree_source_good(tops[i].change, &far);

		assert_int_equal(config->ipa_bits_needed, tops[i].bits);
		config_destroy(config);
	}
}

/* Of two aliases the lower number counts, in whatever order they come; and six digits are a number. */
static void alias_numbers(void **state)
{
	static const struct {
		const char *aliases, *first, *second;
	} orders[] = {
		{ "virtio0 = \"/b\"; virtio1 = \"/a\";", "b", "a" },
		{ "virtio5 = \"/b\"; virtio3 = \"/a\"; virtio2 = \"/b\";", "b", "a" },
		{ "virtio2 = \"/b\"; virtio3 = \"/a\"; virtio5 = \"/b\";", "b", "a" },
		{ "virtio9 = \"/b\"; virtio10 = \"/a\";", "b", "a" },
		{ "virtio999999 = \"/b\";", "b", "a" },
		{ "virtio1000000 = \"/b\";", "a", "b" },
		{ "virtio01 = \"/b\";", "a", "b" },
		{ "", "a", "b" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(orders); i++) {
		struct machine_config *config;
		char change[256];

		snprintf(change, sizeof(change), "/delete-node/ &vmem0; / { a " RNG " b " RNG " aliases { %s }; };", orders[i].aliases);
		config = tree_source_good(change, &big_host);
		assert_int_equal(config->device_count, 2);
		assert_string_equal(config->devices[0].id, orders[i].first);
		assert_string_equal(config->devices[1].id, orders[i].second);
		config_destroy(config);
	}
}

/* That many aliases are searched for in the whole tree; one more is refused. */
static void aliases_have_an_end(void **state)
{
	for (unsigned count = 1024; count <= 1025; count++) {
		char *change = NULL;
		size_t size;
		FILE *text = open_memstream(&change, &size);
		struct machine_config *config;
		struct errors errors = { 0 };

		fprintf(text, "/ { aliases { ");
		for (unsigned i = 0; i < count; i++)
			fprintf(text, "i2c%u = \"/memory@40000000\"; ", i);
		fprintf(text, "}; };");
		fclose(text);
		if (count <= 1024) {
			config = tree_source_good(change, &big_host);
			config_destroy(config);
		} else {
			assert_int_equal(tree_source_read(good_machine, change, &big_host, &errors, &config), -EINVAL);
			assert_true(errors_say(&errors, "/aliases: has more than 1024 aliases"));
			errors_finish(&errors);
		}
		free(change);
	}
}

static uint64_t slot_of(const char *change, const struct host_limits *host)
{
	struct machine_config *config = tree_source_good(change, host);
	uint64_t slot = config->devices[0].window.slot_bytes;

	config_destroy(config);
	return slot;
}

/* Windows that leave it to Sluice: 1024 slots each, 2048 together, none below 128 MiB or a block. */
static void slots_chosen(void **state)
{
	static const char one[] = "&growth { reg = <0x100 0x0 0x100 0x0>; };";
	static const char more[] = "&growth { reg = <0x100 0x0 0x100 0x0>; }; &reserved { s: s { size = <0x100 0x0>; no-map; }; }; / { vmem1 { " MEM " memory-region = <&s>; }; };";
	static const char third[] = "&reserved { t: t { size = <0x0 0x8000000>; no-map; }; }; / { vmem2 { " MEM " memory-region = <&t>; }; };";
	char change[1024];

	assert_int_equal(slot_of("", &big_host), 128 * MiB);
	assert_int_equal(slot_of("&growth { reg = <0x1 0x0 0x20 0x0>; };", &big_host), 128 * MiB); /* 1024 of them */
	assert_int_equal(slot_of("&growth { reg = <0x1 0x0 0x20 0x200000>; };", &big_host), 256 * MiB);
	assert_int_equal(slot_of(one, &big_host), GiB);
	assert_int_equal(slot_of(more, &big_host), GiB); /* 2048 in all */
	snprintf(change, sizeof(change), "%s%s", more, third);
	assert_int_equal(slot_of(change, &big_host), 2 * GiB);
	assert_int_equal(slot_of("&vmem0 { block-size = /bits/ 64 <0x10000000>; };", &big_host), 256 * MiB);
	/* So many memslots: rounded up to 128 MiB. */
	assert_int_equal(slot_of("&vmem0 { memslots = <5>; };", &big_host), 896 * MiB);
	assert_int_equal(slot_of("&vmem0 { memslots = <32>; };", &big_host), 128 * MiB);
	assert_int_equal(slot_of("&vmem0 { memslots = <31>; };", &big_host), 256 * MiB);
	/* Of windows with a slot-size only KVM's limit counts. */
	config_destroy(tree_source_good("&growth { reg = <0x1 0x0 0x2 0x0>; }; &vmem0 { slot-size = /bits/ 64 <0x200000>; };", &big_host));
}

static void window_defaults(void **state)
{
	static const struct {
		uint64_t page, block;
	} pages[] = { { 4 * KiB, 2 * MiB }, { 16 * KiB, 32 * MiB }, { 64 * KiB, 2 * MiB } };
	struct machine_config *config;

	for (size_t i = 0; i < ARRAY_SIZE(pages); i++) {
		struct host_limits host = big_host;

		host.page_bytes = pages[i].page;
		config = tree_source_good("", &host);
		assert_int_equal(config->devices[0].window.block_bytes, pages[i].block);
		assert_int_equal(config->devices[0].window.backing, BACKING_ANONYMOUS);
		config_destroy(config);
	}
	config = tree_source_good("&vmem0 { slot-size = /bits/ 64 <0x40000000>; };", &big_host);
	assert_int_equal(config->devices[0].window.stray_reads, STRAY_READS_ZERO);
	config_destroy(config);
	config = tree_source_good("&vmem0 { slot-size = /bits/ 64 <0x40200000>; };", &big_host);
	assert_int_equal(config->devices[0].window.stray_reads, STRAY_READS_ABORT);
	config_destroy(config);
	config = tree_source_good("&vmem0 { slot-size = /bits/ 64 <0x40200000>; stray-reads = \"zero\"; backing = \"memfd\"; };", &big_host);
	assert_int_equal(config->devices[0].window.stray_reads, STRAY_READS_ZERO);
	assert_int_equal(config->devices[0].window.backing, BACKING_MEMFD);
	config_destroy(config);
}

/* A warning does not keep a machine from being good. */
static void small_slots_warn(void **state)
{
	static const struct {
		const char *change;
		unsigned warnings;
	} slots[] = {
		{ "&vmem0 { slot-size = /bits/ 64 <0x8000000>; };", 0 },
		{ "&vmem0 { slot-size = /bits/ 64 <0x7e00000>; };", 1 },
		{ "&growth { reg = <0x1 0x0 0x0 0x4000000>; }; &vmem0 { slot-size = /bits/ 64 <0x4000000>; };", 0 },
		{ "&growth { reg = <0x1 0x0 0x0 0x4200000>; }; &vmem0 { slot-size = /bits/ 64 <0x4000000>; };", 1 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(slots); i++) {
		struct machine_config *config = NULL;
		struct errors errors = { 0 };

		assert_int_equal(tree_source_read(good_machine, slots[i].change, &big_host, &errors, &config), 0);
		assert_int_equal(errors.count, slots[i].warnings);
		assert_int_equal(errors.warnings, slots[i].warnings);
		assert_true(!errors.count || errors_lead(&errors, "warning: /vmem0: slot-size: slots of "));
		errors_finish(&errors);
		config_destroy(config);
	}
}

static uint64_t placed_at(const char *change, const char *node)
{
	struct machine_config *config = tree_source_good(change, &big_host);
	uint64_t gpa = 0;

	for (size_t i = 0; i < config->device_count; i++)
		if (!strcmp(config->devices[i].id, node)) {
			/* check() was given the address that it has. */
			const struct property_region *region = config->devices[i].config;

			gpa = config->devices[i].window.gpa;
			assert_int_equal(region->gpa, gpa);
		}
	config_destroy(config);
	return gpa;
}

static void places(void **state)
{
#define SIZED(more) "&memory { reg = <0x0 0x40000000 0x0 0x10000000>; }; &growth { /delete-property/ reg; size = <0x0 0x40000000>; " more " };"
	/* Memory ends at 0x50000000. A smaller alignment than 512 MiB does not count. */
	assert_int_equal(placed_at(SIZED(""), "vmem0"), 0x60000000);
	assert_int_equal(placed_at(SIZED("alignment = <0x0 0x200000>;"), "vmem0"), 0x60000000);
	assert_int_equal(placed_at(SIZED("alignment = <0x0 0x20000000>;"), "vmem0"), 0x60000000);
	assert_int_equal(placed_at(SIZED("alignment = <0x0 0x40000000>;"), "vmem0"), 0x80000000);
	assert_int_equal(placed_at(SIZED("alloc-ranges = <0x0 0x60200000 0x1 0x0>;"), "vmem0"), 0x80000000);
	/* Windows with a place come first, whatever their order; then the first fit of the rest. */
	assert_int_equal(placed_at(SIZED("") "&reserved { x: x { reg = <0x0 0x60000000 0x0 0x20000000>; no-map; }; };"
		"/ { zz { " MEM " memory-region = <&x>; }; };", "vmem0"), 0x80000000);
	assert_int_equal(placed_at(SIZED("") "&reserved { fw { reg = <0x0 0x90000000 0x0 0x1000 0x0 0xdfffffff 0x0 0x1>; }; };", "vmem0"), 0xe0000000);
}

/* With one cell an address ends at 4 GiB, whatever the host has. */
static void places_of_one_cell(void **state)
{
	static const char narrow[] = "/dts-v1/; / { #address-cells = <1>; #size-cells = <1>;"
		"cpus { #address-cells = <1>; #size-cells = <0>; cpu@0 { reg = <0>; }; };"
		"memory@40000000 { reg = <0x40000000 0x10000000>; };"
		"reserved-memory { #address-cells = <1>; #size-cells = <1>; ranges; w: w { no-map; }; };"
		"vmem0 { compatible = \"sluice,virtio-mem\"; memory-region = <&w>; }; };";
	struct machine_config *config = NULL;
	struct errors errors = { 0 };
	const fdt32_t *reg;
	int len;

	assert_int_equal(tree_source_read(narrow, "&w { size = <0xa0000000>; };", &big_host, &errors, &config), 0);
	assert_int_equal(config->devices[0].window.gpa, 0x60000000);
	reg = fdt_getprop(config->fdt, fdt_path_offset(config->fdt, "/reserved-memory/w@60000000"), "reg", &len);
	assert_int_equal(len, 8);
	assert_int_equal(fdt32_ld(reg), 0x60000000);
	assert_int_equal(fdt32_ld(reg + 1), 0xa0000000);
	config_destroy(config);
	config = NULL;
	assert_int_equal(tree_source_read(narrow, "&w { size = <0xa0200000>; };", &big_host, &errors, &config), -EINVAL);
	assert_int_equal(errors.count, 1);
	assert_true(errors_lead(&errors, "/reserved-memory/w: size: no place for 2562 MiB"));
	assert_non_null(strstr(errors.lines[0], "below 0x100000000,"));
	errors_finish(&errors);
}

/* What Sluice placed is in the tree with reg alone, and keeps a unit address that it has. */
static void placed_in_the_tree(void **state)
{
	struct machine_config *config = tree_source_good("&growth { /delete-property/ reg; size = <0x1 0x0>; alignment = <0x0 0x40000000>; alloc-ranges = <0x2 0x0 0x2 0x0>; };", &big_host);
	int node = fdt_path_offset(config->fdt, "/reserved-memory/growth@100000000");

	assert_true(node > 0);
	assert_non_null(fdt_getprop(config->fdt, node, "reg", NULL));
	assert_null(fdt_getprop(config->fdt, node, "size", NULL));
	assert_null(fdt_getprop(config->fdt, node, "alignment", NULL));
	assert_null(fdt_getprop(config->fdt, node, "alloc-ranges", NULL));
	assert_int_equal(config->reserved[0].gpa, 8 * GiB);
	assert_int_equal(config->reserved[0].size, 4 * GiB);
	config_destroy(config);
}

static void reserved_is_sorted(void **state)
{
	struct machine_config *config = tree_source_good("/memreserve/ 0x58000000 0x1000;", &big_host);

	assert_int_equal(config->reserved_count, 2);
	assert_int_equal(config->reserved[0].gpa, 0x58000000);
	config_destroy(config);
	config = tree_source_good("&reserved { fw { reg = <0x2 0x0 0x0 0x1000 0x0 0x50000000 0x0 0x1000>; }; };", &big_host);
	assert_int_equal(config->reserved_count, 3);
	assert_int_equal(config->reserved[0].gpa, 0x50000000);
	assert_int_equal(config->reserved[1].gpa, 4 * GiB);
	assert_int_equal(config->reserved[2].gpa, 8 * GiB);
	config_destroy(config);
}

/* Two nodes of one name: dtc makes none, a blob may have them. */
static void two_of_a_name(void **state)
{
	struct machine_config *config = NULL;
	struct errors errors = { 0 };
	char *name;
	void *fdt;

	assert_int_equal(tree_source_open(tree_source_file("machine.dts", good_machine, NODE("rngA " RNG "rngB " RNG)), NULL, &errors, &fdt), 0);
	name = memmem(fdt, fdt_totalsize(fdt), "rngB", 5);
	while (name) { /* in __symbols__ too, were it there */
		name[3] = 'A';
		name = memmem(fdt, fdt_totalsize(fdt), "rngB", 5);
	}
	assert_int_equal(config_read_blob(fdt, fdt_totalsize(fdt), "blob", &big_host, &errors, &config), -EINVAL);
	assert_int_equal(errors.count, 1);
	assert_true(errors_lead(&errors, "/rngA: there are two devices of this name"));
	errors_finish(&errors);
	free(fdt);
}

/* The class of a device probes the host resources that it will use; an error names the device's node. */
static void probed(void **state)
{
	struct machine_config *config = tree_source_good(NODE("disk0 { compatible = \"sluice,virtio-blk\"; file = \"/nonexistent/disk\"; };"), &big_host);
	struct errors errors = { 0 };

	device_probe(config, &config->devices[1], false, &errors); /* a window takes no file */
	assert_int_equal(errors.count, 0);
	device_probe(config, &config->devices[0], false, &errors);
	assert_int_equal(errors.count, 1);
	assert_true(errors_lead(&errors, "/disk0: file: "));
	errors_finish(&errors);
	config_destroy(config);
}

static int remove_files(void **state)
{
	tree_source_finish();
	return 0;
}

#define TEST(function) { .name = #function, .test_func = function }

int main(void)
{
	static const struct CMUnitTest others[] = {
		TEST(own_addresses), TEST(own_interrupts), TEST(own_nodes), TEST(gic_of_the_host), TEST(options), TEST(features),
		TEST(address_bits), TEST(alias_numbers), TEST(aliases_have_an_end), TEST(slots_chosen), TEST(window_defaults), TEST(small_slots_warn),
		TEST(places), TEST(places_of_one_cell), TEST(placed_in_the_tree), TEST(reserved_is_sorted), TEST(two_of_a_name), TEST(probed), TEST(check_warned),
	};
	struct CMUnitTest tests[ARRAY_SIZE(rules) + ARRAY_SIZE(others)];

	for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
		tests[i] = (struct CMUnitTest){
			.name = rules[i].name,
			.test_func = check_rule,
			.initial_state = (void *)&rules[i],
		};
	memcpy(&tests[ARRAY_SIZE(rules)], others, sizeof(others));
	return _cmocka_run_group_tests("config-rules", tests, ARRAY_SIZE(tests), NULL, remove_files);
}
