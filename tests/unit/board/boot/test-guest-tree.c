/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's tree, read again by libfdt: what Sluice provides is there in the form that Linux
 * wants, what is the host's is gone, and dtc has nothing to complain about.
 */
#include "tests/unit/helpers/unit.h"

#include <errno.h>
#include <libfdt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "board/boot/guest-tree.h"
#include "board/config/map.h"
#include "devices/device.h"
#include "hyp/kvm/kvm.h"
#include "tests/unit/helpers/tree-source.h"

static const char machine[] =
	"&cpus { cpu@1 { device_type = \"cpu\"; compatible = \"arm,cortex-a76\"; reg = <1>; "
	"sluice,host-cpus = <3>; };"
	"  cpu@2 { device_type = \"cpu\"; reg = <2>; status = \"disabled\"; }; cpu@3 { reg = <3>; status = \"fail-cache\"; }; cpu-map { }; };"
	"&memory { /delete-property/ device_type; };"
	"&reserved { stays: stays@42000000 { reg = <0 0x42000000 0 0x1000>; }; small: small { size = <0 0x20000000>; no-map; }; unused { reg = <2 0 0 "
	"0x1000>; status = \"disabled\"; }; };"
	"/ { vmem1: vmem1 { compatible = \"sluice,virtio-mem\"; memory-region = <&small>; };"
	"  gone: gone { compatible = \"sluice,virtio-mem\"; status = \"disabled\"; };"
	"  other: other@50000000 { compatible = \"acme,thing\"; reg = <0 0x50000000 0 0x1000>; "
	"friend = <&stays>; };"
	"  memory@80000000 { reg = <0 0x80000000 0 0x200000>; status = \"reserved\"; };"
	"  options { sluice { compatible = \"sluice,options\"; }; };"
	"  aliases { virtio0 = &vmem1; virtio1 = &gone; thing = &other; }; };"
	"&chosen { sluice,initrd = \"initramfs\"; linux,initrd-start = <7>; };";

struct built {
	struct machine_config *config;
	void *fdt;
	size_t size;
};

static struct built build(
	const char *base, const char *change, const struct guest_tree_input *input)
{
	struct built built = { 0 };
	struct errors errors = { 0 };

	if (tree_source_read(base, change, &big_host, &errors, &built.config))
		for (size_t i = 0; i < errors.count; i++)
			print_message("  %s\n", errors.lines[i]);
	assert_non_null(built.config);
	errors_finish(&errors);
	assert_int_equal(guest_tree_build(built.config, input, &built.fdt, &built.size), 0);
	assert_int_equal(fdt_check_full(built.fdt, built.size), 0);
	assert_int_equal(fdt_totalsize(built.fdt), built.size);
	return built;
}

static void finish(struct built *built)
{
	config_destroy(built->config);
	free(built->fdt);
}

static int at(const struct built *built, const char *path)
{
	return fdt_path_offset(built->fdt, path);
}

static void assert_node(const struct built *built, const char *path, bool there)
{
	if ((at(built, path) >= 0) != there)
		fail_msg("%s is %sthere", path, there ? "not " : "");
}

/* The property is exactly these cells. */
static void assert_cells_at(const struct built *built, const char *path, const char *property,
	const uint32_t *cells, size_t count)
{
	int len;
	const fdt32_t *value = fdt_getprop(built->fdt, at(built, path), property, &len);

	if (!value || len != (int)(4 * count))
		fail_msg("%s: %s has %d bytes", path, property, value ? len : -1);
	for (size_t i = 0; value && i < count; i++)
		if (fdt32_ld(value + i) != cells[i])
			fail_msg(
				"%s: %s: cell %zu is 0x%x", path, property, i, fdt32_ld(value + i));
}

#define assert_cells(built, path, property, ...)                                                   \
	assert_cells_at(built, path, property, (const uint32_t[]){ __VA_ARGS__ },                  \
		ARRAY_SIZE(((const uint32_t[]){ __VA_ARGS__ })))

/* The property is exactly these strings, each with its zero byte. */
#define assert_strings(built, path, property, text)                                                \
	do {                                                                                       \
		int strings_len;                                                                   \
		const void *strings = fdt_getprop(                                                 \
			(built)->fdt, at(built, path), property, &strings_len);                    \
		assert_non_null(strings);                                                          \
		assert_int_equal(strings_len, sizeof(text));                                       \
		assert_memory_equal(strings, text, sizeof(text));                                  \
	} while (0)

static bool has(const struct built *built, const char *path, const char *property)
{
	return fdt_getprop(built->fdt, at(built, path), property, NULL);
}

static uint32_t phandle(const struct built *built, const char *path)
{
	return fdt_get_phandle(built->fdt, at(built, path));
}

static void provided(void **state)
{
	struct guest_tree_input input = { .initrd_gpa = 0x48000000, .initrd_size = 0x1234 };
	struct built b = { 0 };
	uint32_t gic, clock, gpio;

	memset(input.kaslr_seed, 0xa1, sizeof(input.kaslr_seed));
	memset(input.rng_seed, 0xb2, sizeof(input.rng_seed));
	b = build(good_machine, machine, &input);
	gic = phandle(&b, "/interrupt-controller@8000000");
	clock = phandle(&b, "/apb-pclk");
	gpio = phandle(&b, "/pl061@9030000");

	assert_cells(&b, "/", "interrupt-parent", gic);
	assert_strings(&b, "/", "compatible", "acme,gateway");
	assert_strings(&b, "/interrupt-controller@8000000", "compatible", "arm,gic-v3");
	assert_cells(&b, "/interrupt-controller@8000000", "#interrupt-cells", 3);
	assert_true(has(&b, "/interrupt-controller@8000000", "interrupt-controller"));
	assert_cells(&b, "/interrupt-controller@8000000", "reg", 0, 0x08000000, 0, 0x10000, 0,
		0x080a0000, 0, 0x40000);
	assert_strings(&b, "/timer", "compatible", "arm,armv8-timer");
	assert_cells(&b, "/timer", "interrupts", 1, 13, 4, 1, 14, 4, 1, 11, 4, 1, 10, 4);
	assert_true(has(&b, "/timer", "always-on"));
	assert_strings(&b, "/psci", "compatible", "arm,psci-1.0\0arm,psci-0.2");
	assert_strings(&b, "/psci", "method", "hvc");
	assert_strings(&b, "/hypervisor", "compatible", "linux,kvm");
	assert_cells(&b, "/apb-pclk", "clock-frequency", 24000000);
	assert_strings(&b, "/pl011@9000000", "compatible", "arm,pl011\0arm,primecell");
	assert_cells(&b, "/pl011@9000000", "reg", 0, 0x09000000, 0, 0x1000);
	assert_cells(&b, "/pl011@9000000", "interrupts", 0, 1, 4);
	assert_cells(&b, "/pl011@9000000", "clocks", clock, clock);
	assert_strings(&b, "/pl011@9000000", "clock-names", "uartclk\0apb_pclk");
	assert_cells(&b, "/pl031@9010000", "interrupts", 0, 2, 4);
	assert_cells(&b, "/pl061@9030000", "interrupts", 0, 7, 4);
	assert_cells(&b, "/gpio-keys/poweroff", "gpios", gpio, 3, 0);
	assert_cells(&b, "/gpio-keys/poweroff", "linux,code", 116);

	assert_strings(&b, "/cpus/cpu@0", "compatible", "arm,armv8");
	assert_strings(&b, "/cpus/cpu@1", "compatible", "arm,cortex-a76");
	assert_strings(&b, "/cpus/cpu@1", "enable-method", "psci");
	assert_strings(&b, "/memory@40000000", "device_type", "memory");

	assert_strings(&b, "/chosen", "bootargs", "quiet");
	assert_strings(&b, "/chosen", "stdout-path", "/pl011@9000000");
	assert_cells(&b, "/chosen", "linux,initrd-start", 0, 0x48000000);
	assert_cells(&b, "/chosen", "linux,initrd-end", 0, 0x48001234);
	assert_cells(&b, "/chosen", "kaslr-seed", 0xa1a1a1a1, 0xa1a1a1a1);
	assert_memory_equal(
		fdt_getprop(b.fdt, at(&b, "/chosen"), "rng-seed", NULL), input.rng_seed, 64);
	assert_strings(&b, "/aliases", "serial0", "/pl011@9000000");
	finish(&b);
}

/* vmem1 comes first by its alias; nodes follow in the order of their addresses. */
static void virtio(void **state)
{
	const struct guest_tree_input input = { 0 };
	struct built b = build(good_machine, machine, &input);

	assert_string_equal(b.config->devices[0].id, "vmem1");
	assert_strings(&b, "/virtio_mmio@a000000", "compatible", "virtio,mmio");
	assert_cells(&b, "/virtio_mmio@a000000", "reg", 0, 0x0a000000, 0, 0x200);
	assert_cells(&b, "/virtio_mmio@a000000", "interrupts", 0, 16, 1);
	assert_true(has(&b, "/virtio_mmio@a000000", "dma-coherent"));
	assert_cells(&b, "/virtio_mmio@a000200", "reg", 0, 0x0a000200, 0, 0x200);
	assert_cells(&b, "/virtio_mmio@a000200", "interrupts", 0, 17, 1);
	assert_node(&b, "/virtio_mmio@a000400", false);
	assert_true(at(&b, "/virtio_mmio@a000000") < at(&b, "/virtio_mmio@a000200"));
	finish(&b);
}

static void watchdog(void **state)
{
	const struct guest_tree_input input = { 0 };
	struct built b = build(good_machine,
		"/ { dog { compatible = \"sluice,watchdog\"; }; rng0 { compatible = "
		"\"sluice,virtio-rng\"; }; };",
		&input);
	uint32_t clock = fdt_get_phandle(b.fdt, at(&b, "/apb-pclk"));

	assert_strings(&b, "/watchdog@90d0000", "compatible", "arm,sp805\0arm,primecell");
	assert_cells(&b, "/watchdog@90d0000", "reg", 0, 0x090d0000, 0, 0x1000);
	assert_cells(&b, "/watchdog@90d0000", "interrupts", 0, 10, 4);
	assert_cells(&b, "/watchdog@90d0000", "clocks", clock, clock);
	assert_strings(&b, "/watchdog@90d0000", "clock-names", "wdog_clk\0apb_pclk");
	/* It takes no place among virtio's. */
	assert_cells(&b, "/virtio_mmio@a000000", "interrupts", 0, 16, 1);
	assert_node(&b, "/virtio_mmio@a000400", false);
	assert_node(&b, "/dog", false);
	finish(&b);
	b = build(good_machine, machine, &input);
	assert_node(&b, "/watchdog@90d0000", false);
	finish(&b);
}

/* Another that is not virtio's is not taken for it. */
static void no_watchdog(void **state)
{
	const struct guest_tree_input input = { 0 };
	struct built b = build(good_machine, "/ { dog { compatible = \"sluice,watchdog\"; }; };", &input);
	const struct device_class other = { .kind = DEVICE_PLATFORM };
	size_t last = b.config->device_count - 1;

	free(b.fdt);
	while (b.config->devices[last].class->kind != DEVICE_PLATFORM)
		last--;
	b.config->devices[last].class = &other;
	assert_int_equal(guest_tree_build(b.config, &input, &b.fdt, &b.size), 0);
	assert_node(&b, "/watchdog@90d0000", false);
	finish(&b);
}

/* What is lost without a word elsewhere; an alias of what Sluice provides is none of it. */
static void lost_aliases(void **state)
{
	static const char *const says[] = {
		"warning: /aliases: nothing: the guest gets no such alias: there is no /nowhere in its tree. Remove it, or name a node that the guest has",
		"warning: /aliases: mem: the guest gets no such alias: there is no /vmem1 in its tree. Remove it, or name a node that the guest has",
		"warning: /aliases: number: the guest gets no such alias: there is no such node in its tree. Remove it, or name a node that the guest has",
	};
	const struct guest_tree_input input = { 0 };
	struct errors errors = { 0 };
	char *source;
	struct built b;

	assert_true(asprintf(&source,
			    "%s / { aliases { rtc0 = \"/pl031@9010000\"; number = <7>; mem = "
			    "&vmem1; nothing = \"/nowhere\"; }; };",
			    machine) > 0);
	b = build(good_machine, source, &input);
	guest_tree_check_aliases(b.config, b.fdt, &errors);
	assert_int_equal(errors.count, ARRAY_SIZE(says));
	assert_false(errors_any(&errors));
	for (size_t i = 0; i < ARRAY_SIZE(says); i++) {
		bool said = false;

		for (size_t line = 0; line < errors.count; line++)
			said |= !strcmp(errors.lines[line], says[i]);
		assert_true(said);
	}
	assert_strings(&b, "/aliases", "rtc0", "/pl031@9010000");
	errors_finish(&errors);
	finish(&b);
	free(source);
}

/* A flash has a node of its own; of /reserved-memory nothing is left where it has only windows. */
static void firmware(void **state)
{
	const struct guest_tree_input input = { .flash_bytes = 1 * MiB };
	struct built b = build(good_machine,
		"&chosen { /delete-property/ sluice,kernel; sluice,firmware = \"f\"; sluice,flash = \"v\"; };",
		&input);

	assert_node(&b, "/reserved-memory", false);
	finish(&b);
	/* Nor has it the window of a device that is disabled, which the host may still have to place. */
	b = build(good_machine,
		"&chosen { /delete-property/ sluice,kernel; sluice,firmware = \"f\"; sluice,flash = \"v\"; };"
		"&vmem0 { status = \"disabled\"; }; &growth { /delete-property/ reg; size = <1 0>; };",
		&input);
	assert_node(&b, "/reserved-memory", false);
	assert_strings(&b, "/flash@4000000", "compatible", "cfi-flash");
	assert_cells(&b, "/flash@4000000", "reg", 0, 0x04000000, 0, 1 * MiB);
	assert_cells(&b, "/flash@4000000", "bank-width", 4);
	finish(&b);
}

static void stripped(void **state)
{
	static const char *const gone[] = { "/vmem0", "/vmem1", "/gone", "/options", "/__symbols__",
		"/cpus/cpu@2", "/cpus/cpu@3", "/memory@80000000", "/reserved-memory/unused",
		"/reserved-memory/small@60000000", "/reserved-memory/growth@100000000", "/flash@4000000" };
	static const char *const retained[] = { "/other@50000000", "/cpus/cpu-map",
		"/reserved-memory/stays@42000000" };
	const struct guest_tree_input input = { 0 };
	struct built b = build(good_machine, machine, &input);
	int depth = 0;

	for (size_t i = 0; i < ARRAY_SIZE(gone); i++)
		assert_node(&b, gone[i], false);
	for (size_t i = 0; i < ARRAY_SIZE(retained); i++)
		assert_node(&b, retained[i], true);
	assert_false(has(&b, "/aliases", "virtio0"));
	assert_false(has(&b, "/aliases", "virtio1"));
	assert_strings(&b, "/aliases", "thing", "/other@50000000");
	/* No initrd: the guest's tree names none, whatever the source said. */
	assert_false(has(&b, "/chosen", "linux,initrd-start"));
	assert_cells(
		&b, "/other@50000000", "friend", phandle(&b, "/reserved-memory/stays@42000000"));
	for (int node = 0; node >= 0; node = fdt_next_node(b.fdt, node, &depth)) {
		int property;

		fdt_for_each_property_offset(property, b.fdt, node)
		{
			const char *name, *value;
			int len;

			value = fdt_getprop_by_offset(b.fdt, property, &name, &len);
			assert_null(strstr(name, "sluice,"));
			assert_null(memmem(value, len, "sluice,", 7));
		}
	}
	finish(&b);
}

/* Every phandle is one node's. */
static void phandles(void **state)
{
	const struct guest_tree_input input = { 0 };
	struct built b = build(good_machine, machine, &input);
	uint32_t seen[64];
	size_t count = 0;
	int depth = 0;

	for (int node = 0; node >= 0; node = fdt_next_node(b.fdt, node, &depth)) {
		uint32_t value = fdt_get_phandle(b.fdt, node);

		for (size_t i = 0; i < count && value; i++)
			assert_int_not_equal(seen[i], value);
		assert_true(count < ARRAY_SIZE(seen));
		if (value)
			seen[count++] = value;
	}
	assert_true(count >= 5);
	finish(&b);
	/* What refers to a node that is gone refers to nothing. */
	b = build(good_machine,
		"/ { gone: rng0 { compatible = \"sluice,virtio-rng\"; phandle = <64>; }; "
		"other { friend = <&gone>; }; };",
		&input);
	assert_cells(&b, "/other", "friend", 64);
	assert_true(phandle(&b, "/interrupt-controller@8000000") > 64); /* the least of Sluice's */
	finish(&b);
}

static void gicv2(void **state)
{
	const struct guest_tree_input input = { 0 };
	struct built b = build(good_machine,
		"&cpus { cpu@1 { device_type = \"cpu\"; reg = <1>; }; };"
		"/ { options { sluice { compatible = \"sluice,options\"; "
		"gic = \"gicv2\"; }; }; };",
		&input);

	assert_strings(&b, "/interrupt-controller@8000000", "compatible", "arm,cortex-a15-gic");
	assert_cells(&b, "/interrupt-controller@8000000", "reg", 0, 0x08000000, 0, 0x10000, 0,
		0x08010000, 0, 0x10000);
	/* Two CPUs. */
	assert_cells(
		&b, "/timer", "interrupts", 1, 13, 0x304, 1, 14, 0x304, 1, 11, 0x304, 1, 10, 0x304);
	finish(&b);
}

/* What the host has is there, and what the tree turns off is not. */
static void cpu_features(void **state)
{
	const struct guest_tree_input input = { 0 };
	struct built b = build(good_machine, machine, &input);

	assert_int_equal(b.config->cpu_features, 0xf);
	assert_strings(&b, "/pmu", "compatible", "arm,armv8-pmuv3");
	assert_cells(&b, "/pmu", "interrupts", 1, 7, 4);
	finish(&b);
	b = build(good_machine,
		"&cpus { sluice,pmu = \"off\"; sluice,sve = \"off\"; "
		"sluice,pointer-authentication = \"on\"; sluice,stolen-time = \"auto\"; }; "
		"&cpu0 { sluice,rt-priority = <10>; };",
		&input);
	assert_int_equal(b.config->cpu_features, 1u << CPU_POINTER_AUTH | 1u << CPU_STOLEN_TIME);
	assert_int_equal(b.config->cpus[0].rt_priority, 10);
	assert_node(&b, "/pmu", false);
	assert_false(has(&b, "/cpus", "sluice,pmu"));
	assert_false(has(&b, "/cpus/cpu@0", "sluice,rt-priority"));
	finish(&b);
}

static void its(void **state)
{
	const struct guest_tree_input input = { 0 };
	struct built b = build(good_machine,
		"/ { options { sluice { compatible = \"sluice,options\"; "
		"gic = \"gicv3-its\"; }; }; };",
		&input);

	assert_strings(&b, "/interrupt-controller@8000000/msi-controller@8080000", "compatible",
		"arm,gic-v3-its");
	assert_cells(&b, "/interrupt-controller@8000000/msi-controller@8080000", "reg", 0,
		0x08080000, 0, 0x20000);
	assert_true(has(&b, "/interrupt-controller@8000000", "ranges"));
	finish(&b);
}

static void nested(void **state)
{
	const struct guest_tree_input input = { 0 };
	struct built b = build(good_machine, "&cpus { sluice,nested; };", &input);

	assert_strings(&b, "/psci", "method", "smc");
	assert_cells(&b, "/interrupt-controller@8000000", "interrupts", 1, 9, 4);
	assert_cells(&b, "/timer", "interrupts", 1, 13, 4, 1, 14, 4, 1, 11, 4, 1, 10, 4, 1, 12, 4);
	finish(&b);
}

static struct built build_cpus(unsigned count)
{
	const struct guest_tree_input input = { 0 };
	char nodes[512 * 80] = "&cpus { ";

	for (unsigned i = 1; i < count; i++)
		sprintf(nodes + strlen(nodes), "cpu@%x { device_type = \"cpu\"; reg = <0x%x>; }; ",
			i / 16 << 8 | i % 16, i / 16 << 8 | i % 16);
	strcat(nodes, "};");
	return build(good_machine, nodes, &input);
}

/* The 124th CPU's redistributor is in a second region. */
static void many_cpus(void **state)
{
	struct built b = build_cpus(123);

	assert_cells(&b, "/interrupt-controller@8000000", "reg", 0, 0x08000000, 0, 0x10000, 0,
		0x080a0000, 0, 123 * 0x20000);
	assert_false(has(&b, "/interrupt-controller@8000000", "#redistributor-regions"));
	finish(&b);
	b = build_cpus(124);
	assert_int_equal(b.config->cpu_count, 124);
	assert_cells(&b, "/interrupt-controller@8000000", "reg", 0, 0x08000000, 0, 0x10000, 0,
		0x080a0000, 0, 123 * 0x20000, 0, 0x10000000, 0, 0x20000);
	assert_cells(&b, "/interrupt-controller@8000000", "#redistributor-regions", 2);
	finish(&b);
	b = build_cpus(512); /* the room is enough */
	assert_int_equal(b.config->cpu_count, 512);
	finish(&b);
}

/* Cells of one; no /chosen, no /aliases, and a compatible that is only ours. */
static void narrow(void **state)
{
	const struct guest_tree_input input = { 0 };
	struct built b = build(
		"/dts-v1/; / { #address-cells = <1>; #size-cells = <1>; compatible = "
		"\"sluice,machine\";"
		"cpus { #address-cells = <1>; #size-cells = <0>; cpu@0 { reg = <0>; }; };"
		"memory@40000000 { reg = <0x40000000 0x10000000>; }; };",
		"", &input);

	assert_strings(&b, "/", "compatible", "linux,dummy-virt");
	assert_cells(&b, "/pl011@9000000", "reg", 0x09000000, 0x1000);
	assert_cells(&b, "/interrupt-controller@8000000", "reg", 0x08000000, 0x10000, 0x080a0000,
		0x20000);
	assert_strings(&b, "/cpus/cpu@0", "device_type", "cpu");
	assert_strings(&b, "/chosen", "stdout-path", "/pl011@9000000");
	finish(&b);
}

static void stdout_path_of_the_source(void **state)
{
	const struct guest_tree_input input = { 0 };
	struct built b = build(
		good_machine, "&chosen { stdout-path = \"serial0:115200n8\"; };", &input);

	assert_strings(&b, "/chosen", "stdout-path", "serial0:115200n8");
	finish(&b);
}

/* The guest's tree of the good machine with a property of so many bytes more; its size or an error. */
static int filled(const char *name, size_t bytes)
{
	const struct guest_tree_input input = { 0 };
	struct machine_config *config = tree_source_good("", &big_host);
	size_t room = fdt_totalsize(config->fdt) + bytes + 4 * KiB, size = 0;
	void *value = calloc(1, bytes), *grown = malloc(room), *fdt = NULL;
	int err;

	assert_int_equal(fdt_open_into(config->fdt, grown, (int)room), 0);
	assert_int_equal(fdt_setprop(grown, 0, name, value, (int)bytes), 0);
	free(config->fdt);
	config->fdt = grown;
	err = guest_tree_build(config, &input, &fdt, &size);
	assert_true(!err == !!fdt);
	free(fdt);
	free(value);
	config_destroy(config);
	return err ? err : (int)size;
}

/* 1 MiB and 896 KiB, not a byte more. A property is aligned to 4 bytes, its name is not. */
static void largest(void **state)
{
	const int most = 1 * MiB + 896 * KiB;
	const char *name = "fill";
	int size = filled(name, 4);

	while (size % 4)
		size = filled(++name, 4);
	assert_int_equal(filled(name, (size_t)(4 + most - size)), most);
	assert_int_equal(filled(name, (size_t)(4 + most - size + 4)), -ENOSPC);
}

/*
 * dtc's own checks. Phandles that are plain numbers in a blob are the one thing it cannot know,
 * so what it says of references is left out.
 */
static void dtc_accepts(void **state)
{
	const struct guest_tree_input input = { .initrd_gpa = 0x48000000, .initrd_size = 1 };
	struct built b = build(good_machine, machine, &input);
	char command[512], line[512];
	const char *path = tree_source_file("guest.dtb", "", "");
	FILE *file = fopen(path, "w"), *dtc;
	unsigned complaints = 0;

	assert_int_equal(fwrite(b.fdt, 1, b.size, file), b.size);
	fclose(file);
	snprintf(command, sizeof(command), "dtc -I dtb -O dtb -o /dev/null %s 2>&1", path);
	dtc = popen(command, "r");
	while (fgets(line, sizeof(line), dtc))
		if (!strstr(line, "is not a phandle reference")) {
			print_message("  %s", line);
			complaints++;
		}
	assert_int_equal(pclose(dtc), 0);
	assert_int_equal(complaints, 0);
	finish(&b);
}

static int remove_files(void **state)
{
	tree_source_finish();
	return 0;
}

#define TEST(function)                                                                             \
	{                                                                                          \
		.name = #function, .test_func = function                                           \
	}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(provided),
		TEST(virtio),
		TEST(watchdog),
		TEST(no_watchdog),
		TEST(stripped),
		TEST(firmware),
		cmocka_unit_test(firmware),
		TEST(lost_aliases),
		TEST(phandles),
		TEST(gicv2),
		TEST(cpu_features),
		TEST(its),
		TEST(nested),
		TEST(many_cpus),
		TEST(narrow),
		TEST(stdout_path_of_the_source),
		TEST(largest),
		TEST(dtc_accepts),
	};

	return cmocka_run_group_tests_name("guest-tree", tests, NULL, remove_files);
}
