/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The whole of the guest's tree, beside the source of what it has to be: every node and property
 * is in both, and the same. So nothing that Linux's bindings ask for gets lost.
 */
#include "tests/unit/helpers/unit.h"

#include <libfdt.h>
#include <stdlib.h>
#include <string.h>

#include "board/boot/guest-tree.h"
#include "board/config/tree-file.h"
#include "tests/unit/helpers/tree-source.h"

/* Every node of `a`, and each of its properties, is in `b`. */
static void assert_within(const void *a, const void *b, const char *what)
{
	int depth = 0;

	for (int node = 0; node >= 0 && depth >= 0; node = fdt_next_node(a, node, &depth)) {
		char path[256];
		int other, property;

		assert_int_equal(fdt_get_path(a, node, path, sizeof(path)), 0);
		other = fdt_path_offset(b, path);
		if (other < 0)
			fail_msg("%s: %s", what, path);
		fdt_for_each_property_offset(property, a, node)
		{
			const char *name;
			int len, other_len;
			const void *value = fdt_getprop_by_offset(a, property, &name, &len);
			const void *other_value = fdt_getprop(b, other, name, &other_len);

			if (!other_value || len != other_len || memcmp(value, other_value, (size_t)len))
				fail_msg("%s, or another value: %s: %s", what, path, name);
		}
	}
}

/* Of this machine the guest gets that tree. */
static void assert_tree(const char *machine, const char *expected, const struct guest_tree_input *input)
{
	struct machine_config *config = NULL;
	struct errors errors = { 0 };
	void *want, *have;
	size_t size;

	if (tree_source_read(machine, "", &big_host, &errors, &config))
		errors_show(&errors);
	assert_non_null(config);
	assert_int_equal(tree_source_open(tree_source_file("expected.dts", expected, ""), NULL, &errors, &want), 0);
	assert_int_equal(guest_tree_build(config, input, &have, &size), 0);
	assert_within(want, have, "missing");
	assert_within(have, want, "too much");
	assert_int_equal(fdt_boot_cpuid_phys(have), config->cpus[0].mpidr);
	errors_finish(&errors);
	config_destroy(config);
	free(want);
	free(have);
}

#define SEEDS "kaslr-seed = <0 0>; rng-seed = <0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0>; "

/* What each machine has, phandles from `clock` and `gpio` on; the interrupt controller's is 1. */
#define PRIMECELLS \
	"apb-pclk { compatible = \"fixed-clock\"; #clock-cells = <0>; clock-frequency = <24000000>; clock-output-names = \"clk24mhz\"; phandle = <2>; };" \
	"pl011@9000000 { compatible = \"arm,pl011\", \"arm,primecell\"; reg = <0 0x9000000 0 0x1000>; interrupts = <0 1 4>; clocks = <2 2>; clock-names = \"uartclk\", \"apb_pclk\"; };" \
	"pl031@9010000 { compatible = \"arm,pl031\", \"arm,primecell\"; reg = <0 0x9010000 0 0x1000>; interrupts = <0 2 4>; clocks = <2>; clock-names = \"apb_pclk\"; };" \
	"pl061@9030000 { compatible = \"arm,pl061\", \"arm,primecell\"; reg = <0 0x9030000 0 0x1000>; interrupts = <0 7 4>; clocks = <2>; clock-names = \"apb_pclk\"; gpio-controller; #gpio-cells = <2>; phandle = <3>; };" \
	"gpio-keys { compatible = \"gpio-keys\"; poweroff { label = \"GPIO Key Poweroff\"; linux,code = <116>; gpios = <3 3 0>; }; };" \
	"hypervisor { compatible = \"linux,kvm\"; };"

/* An ITS, a watchdog, a first CPU that is disabled; what the source has beside Sluice's own stays. */
static void its(void **state)
{
	const struct guest_tree_input input = { 0 };

	assert_tree("/dts-v1/; / { #address-cells = <2>; #size-cells = <2>; compatible = \"acme,a\", \"sluice,machine\", \"acme,b\"; serial-number = \"mine\";"
		"cpus { #address-cells = <1>; #size-cells = <0>; sluice,sve = \"off\"; cpu@1 { reg = <1>; status = \"disabled\"; }; cpu@3 { reg = <3>; sluice,host-cpus = <0>; sluice,rt-priority = <1>; enable-method = \"spin-table\"; }; };"
		"memory@40000000 { reg = <0 0x40000000 0 0x10000000>; };"
		"chosen { linux,initrd-start = <1>; linux,initrd-end = <2>; bootargs = \"quiet\"; stdout-path = \"serial1\"; };"
		"options { acme,keep = <1>; sluice { compatible = \"sluice,options\"; gic = \"gicv3-its\"; }; };"
		"aliases { serial0 = \"/other\"; relative = \"serial0\"; gone = \"/rng0\"; number = <1>; };"
		"__fixups__ { a = \"/other:b:0\"; }; other { status = \"disabled\"; };"
		"dog { compatible = \"sluice,watchdog\"; }; rng0 { compatible = \"sluice,virtio-rng\"; }; };",

		"/dts-v1/; / { #address-cells = <2>; #size-cells = <2>; compatible = \"acme,a\", \"acme,b\"; serial-number = \"mine\"; interrupt-parent = <1>;"
		"cpus { #address-cells = <1>; #size-cells = <0>; cpu@3 { device_type = \"cpu\"; compatible = \"arm,armv8\"; reg = <3>; enable-method = \"psci\"; }; };"
		"memory@40000000 { device_type = \"memory\"; reg = <0 0x40000000 0 0x10000000>; };"
		"chosen { " SEEDS "bootargs = \"quiet\"; stdout-path = \"serial1\"; };"
		"options { acme,keep = <1>; }; aliases { serial0 = \"/other\"; }; other { status = \"disabled\"; };"
		"interrupt-controller@8000000 { compatible = \"arm,gic-v3\"; reg = <0 0x8000000 0 0x10000 0 0x80a0000 0 0x20000>; interrupt-controller; #interrupt-cells = <3>; phandle = <1>;"
		" #address-cells = <2>; #size-cells = <2>; ranges;"
		" msi-controller@8080000 { compatible = \"arm,gic-v3-its\"; reg = <0 0x8080000 0 0x20000>; msi-controller; #msi-cells = <1>; }; };"
		"timer { compatible = \"arm,armv8-timer\"; interrupts = <1 13 4 1 14 4 1 11 4 1 10 4>; always-on; };"
		"pmu { compatible = \"arm,armv8-pmuv3\"; interrupts = <1 7 4>; };"
		"psci { compatible = \"arm,psci-1.0\", \"arm,psci-0.2\"; method = \"hvc\"; };"
		"watchdog@90d0000 { compatible = \"arm,sp805\", \"arm,primecell\"; reg = <0 0x90d0000 0 0x1000>; interrupts = <0 10 4>; clocks = <2 2>; clock-names = \"wdog_clk\", \"apb_pclk\"; };"
		"virtio_mmio@a000000 { compatible = \"virtio,mmio\"; reg = <0 0xa000000 0 0x200>; interrupts = <0 16 1>; dma-coherent; };"
		PRIMECELLS "};", &input);
}

/* GICv2 with all of its eight CPUs; an initrd; the options of others stay. */
static void gicv2(void **state)
{
	const struct guest_tree_input input = { .initrd_gpa = 0x48000000, .initrd_size = 1, .serial = 0xb2 };
#define CPU(n) "cpu@" n " { reg = <" n ">; };"
#define GUEST_CPU(n) "cpu@" n " { device_type = \"cpu\"; compatible = \"arm,armv8\"; reg = <" n ">; enable-method = \"psci\"; };"
#define CPUS(one) one("0") one("1") one("2") one("3") one("4") one("5") one("6") one("7")

	assert_tree("/dts-v1/; / { #address-cells = <2>; #size-cells = <2>; compatible = \"sluice,machine\";"
		"cpus { #address-cells = <1>; #size-cells = <0>; " CPUS(CPU) " };"
		"memory@40000000 { reg = <0 0x40000000 0 0x10000000>; };"
		"options { u-boot { }; sluice { compatible = \"sluice,options\"; gic = \"gicv2\"; }; }; };",

		"/dts-v1/; / { #address-cells = <2>; #size-cells = <2>; compatible = \"linux,dummy-virt\"; serial-number = \"00000000000000b2\"; interrupt-parent = <1>;"
		"cpus { #address-cells = <1>; #size-cells = <0>; " CPUS(GUEST_CPU) " };"
		"memory@40000000 { device_type = \"memory\"; reg = <0 0x40000000 0 0x10000000>; };"
		"chosen { " SEEDS "linux,initrd-start = <0 0x48000000>; linux,initrd-end = <0 0x48000001>; stdout-path = \"/pl011@9000000\"; };"
		"options { u-boot { }; }; aliases { serial0 = \"/pl011@9000000\"; };"
		"interrupt-controller@8000000 { compatible = \"arm,cortex-a15-gic\"; reg = <0 0x8000000 0 0x10000 0 0x8010000 0 0x10000>; interrupt-controller; #interrupt-cells = <3>; #address-cells = <0>; phandle = <1>; };"
		"timer { compatible = \"arm,armv8-timer\"; interrupts = <1 13 0xff04 1 14 0xff04 1 11 0xff04 1 10 0xff04>; always-on; };"
		"pmu { compatible = \"arm,armv8-pmuv3\"; interrupts = <1 7 0xff04>; };"
		"psci { compatible = \"arm,psci-1.0\", \"arm,psci-0.2\"; method = \"hvc\"; };"
		PRIMECELLS "};", &input);
}

/* A guest with EL2. */
static void nested(void **state)
{
	const struct guest_tree_input input = { 0 };

	assert_tree("/dts-v1/; / { #address-cells = <2>; #size-cells = <2>; compatible = \"acme,a\";"
		"cpus { #address-cells = <1>; #size-cells = <0>; sluice,nested; sluice,pmu = \"off\"; cpu@0 { reg = <0>; compatible = \"arm,cortex-a76\"; }; };"
		"memory@40000000 { reg = <0 0x40000000 0 0x10000000>; };"
		"options { sluice { compatible = \"sluice,options\"; }; }; };",

		"/dts-v1/; / { #address-cells = <2>; #size-cells = <2>; compatible = \"acme,a\"; serial-number = \"0000000000000000\"; interrupt-parent = <1>;"
		"cpus { #address-cells = <1>; #size-cells = <0>; cpu@0 { device_type = \"cpu\"; compatible = \"arm,cortex-a76\"; reg = <0>; enable-method = \"psci\"; }; };"
		"memory@40000000 { device_type = \"memory\"; reg = <0 0x40000000 0 0x10000000>; };"
		"chosen { " SEEDS "stdout-path = \"/pl011@9000000\"; }; aliases { serial0 = \"/pl011@9000000\"; };"
		"interrupt-controller@8000000 { compatible = \"arm,gic-v3\"; reg = <0 0x8000000 0 0x10000 0 0x80a0000 0 0x20000>; interrupts = <1 9 4>; interrupt-controller; #interrupt-cells = <3>; #address-cells = <0>; phandle = <1>; };"
		"timer { compatible = \"arm,armv8-timer\"; interrupts = <1 13 4 1 14 4 1 11 4 1 10 4 1 12 4>; always-on; };"
		"psci { compatible = \"arm,psci-1.0\", \"arm,psci-0.2\"; method = \"smc\"; };"
		PRIMECELLS "};", &input);
}

/* Of virtioN only numbers are no loss. */
static void lost_virtio_aliases(void **state)
{
	const struct guest_tree_input input = { 0 };
	struct machine_config *config = tree_source_good(
		"/ { other { }; aliases { virtio0 = \"/vmem0\"; virtiox = \"/vmem0\"; other = \"/other\"; }; };", &big_host);
	struct errors errors = { 0 };
	size_t size;
	void *tree;

	assert_int_equal(guest_tree_build(config, &input, &tree, &size), 0);
	guest_tree_check_aliases(config, tree, &errors);
	assert_int_equal(errors.count, 1);
	assert_true(errors_lead(&errors, "warning: /aliases: virtiox: the guest gets no such alias: there is no /vmem0 in its tree"));
	/* Another value is a loss as well. */
	assert_int_equal(fdt_setprop_inplace(tree, fdt_path_offset(tree, "/aliases"), "other", "/xther", 7), 0);
	guest_tree_check_aliases(config, tree, &errors);
	assert_true(errors_lead(&errors, "warning: /aliases: other: "));
	errors_finish(&errors);
	free(tree);
	config_destroy(config);
}

static int remove_files(void **state)
{
	tree_source_finish();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(its),
		cmocka_unit_test(gicv2),
		cmocka_unit_test(nested),
		cmocka_unit_test(lost_virtio_aliases),
	};

	return cmocka_run_group_tests_name("guest-tree-whole", tests, NULL, remove_files);
}
