/* SPDX-License-Identifier: Apache-2.0 */
/* The doctor's checks of the machine and its KVM: which features guests can have. See doctor.h. */
#include <glob.h>
#include <string.h>

#include "board/cli/doctor.h"
#include "board/host/kvm-advice.h"
#include "board/text/size.h"
#include "hyp/base/util.h"

static enum status check_architecture(const struct survey *survey, struct finding *finding)
{
	if (!strncmp(survey->name.machine, "arm", 3) ||
		(is_arm64(survey) && survey->pointer_bytes == 4)) {
		advise(finding, "install a 64-bit system (of Raspberry Pi OS, the 64-bit image)");
		return found(finding, PROBLEM, "32-bit %s, and guests are 64-bit Arm's",
			is_arm64(survey) ? "programs on a 64-bit kernel" : "kernel");
	}
	if (!is_arm64(survey)) {
		advise(finding,
			"trees can be checked and shown here; to run them, take a 64-bit Arm machine, or toolchain/demo's emulated one");
		return found(finding, PROBLEM, "%s: guests run on 64-bit Arm only",
			survey->name.machine);
	}
	return found(finding, OK, "%s, Linux %s", survey->name.machine, survey->name.release);
}

static enum status check_kvm(const struct survey *survey, struct finding *finding)
{
	if (!survey->kvm)
		return found(finding, OK, "/dev/kvm opens, API version 12");
	kvm_advice(survey->kvm, finding->text, sizeof(finding->text), finding->advice,
		sizeof(finding->advice));
	return PROBLEM;
}

static enum status check_slots(const struct survey *survey, struct finding *finding)
{
	if (survey->kvm)
		return SILENT;
	if (survey->limits.memslots < 511) {
		advise(finding, "windows get fewer and larger slots");
		return found(
			finding, NOTE, "%u memory slots for a machine", survey->limits.memslots);
	}
	return found(finding, OK, "%u memory slots and %u vCPUs for a machine",
		survey->limits.memslots, survey->limits.vcpus);
}

static enum status check_ipa(const struct survey *survey, struct finding *finding)
{
	unsigned bits = survey->limits.ipa_bits;

	if (survey->kvm || !bits)
		return SILENT;
	if (bits < 40)
		advise(finding,
			"the processor has no more: take smaller windows; trees made for other hosts may not fit, sluice check tells");
	return found(finding, bits < 40 ? NOTE : OK,
		"%u bits of guest-physical address: a window from 4 GiB up to %s", bits,
		SIZE((UINT64_C(1) << bits) - 4 * GiB));
}

static enum status check_gic(const struct survey *survey, struct finding *finding)
{
	if (survey->kvm || !is_arm64(survey))
		return SILENT;
	if (survey->gics.v3)
		return found(finding, OK, "GICv3");
	if (survey->gics.v2)
		return found(finding, OK, "GICv2: at most 8 vCPUs for a machine");
	advise(finding, "KVM cannot offer its interrupt controller here: look into dmesg for vgic");
	return found(finding, PROBLEM, "neither GICv3 nor GICv2 for guests");
}

static uint32_t cell(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static uint32_t cell_of(
	const struct survey *survey, const char *node, const char *name, uint32_t absent)
{
	uint8_t value[4];
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", node, name);
	return read_start(survey, path, value, sizeof(value)) == 4 ? cell(value) : absent;
}

/*
 * Whether this node, a path without the root, is a GICv2 whose GICV, the fourth range of its reg, is not aligned to
 * pages: KVM then emulates it. A bus's translation does not change the bits below the page size.
 */
static bool gicv_traps(const struct survey *survey, const char *node)
{
	char path[512], compatible[128] = "";
	uint32_t address_cells, size_cells;
	uint8_t reg[4 * 4 * sizeof(uint32_t)]; /* four ranges of at most four cells */
	size_t range, gicv;

	snprintf(path, sizeof(path), "%s/compatible", node);
	read_start(survey, path, compatible, sizeof(compatible) - 1);
	if (strcmp(compatible, "arm,gic-400") != 0 && strcmp(compatible, "arm,cortex-a15-gic") != 0)
		return false;
	address_cells = cell_of(survey, node, "../#address-cells", 2);
	size_cells = cell_of(survey, node, "../#size-cells", 1);
	if (address_cells < 1 || address_cells > 2 || size_cells < 1 || size_cells > 2)
		return false;
	range = (address_cells + size_cells) * sizeof(uint32_t);
	gicv = 3 * range;
	snprintf(path, sizeof(path), "%s/reg", node);
	if (read_start(survey, path, reg, sizeof(reg)) < gicv + range)
		return false;
	return ((cell(reg + gicv + address_cells * sizeof(uint32_t) - 4) |
			cell(reg + gicv + range - 4)) &
		       (survey->page_bytes - 1)) != 0;
}

static enum status check_gicv(const struct survey *survey, struct finding *finding)
{
	char pattern[512];
	size_t root = strlen(survey->root);
	bool traps = false;
	glob_t nodes;

	if (survey->kvm || survey->gics.v3 || !survey->gics.v2)
		return SILENT;
	snprintf(pattern, sizeof(pattern), "%s/proc/device-tree/{,*/,*/*/}*@*", survey->root);
	if (glob(pattern, GLOB_BRACE | GLOB_NOSORT, NULL, &nodes))
		return SILENT;
	for (size_t i = 0; i < nodes.gl_pathc && !traps; i++)
		traps = gicv_traps(survey, nodes.gl_pathv[i] + root);
	globfree(&nodes);
	if (!traps)
		return SILENT;
	advise(finding,
		"a kernel with pages of 4 KiB is faster for guests (on Raspberry Pi OS, kernel=kernel8.img in /boot/firmware/config.txt)");
	return found(finding, NOTE,
		"a guest's every interrupt traps: GICV is not aligned to %s pages",
		SIZE(survey->page_bytes));
}

static enum status check_nisv(const struct survey *survey, struct finding *finding)
{
	if (survey->kvm || !is_arm64(survey))
		return SILENT;
	if (survey->limits.nisv)
		return found(finding, OK, "stray accesses of every kind have exact addresses");
	advise(finding, "Linux 5.5 or newer has KVM_CAP_ARM_NISV_TO_USER");
	return found(finding, NOTE, "some stray accesses of a guest cannot be told from faults");
}

/* Which features beyond the architecture's base guests' CPUs have, and which they do not. */
static enum status check_features(const struct survey *survey, struct finding *finding)
{
	static const char *const names[CPU_NESTED] = {
		[CPU_PMU] = "PMU",
		[CPU_SVE] = "SVE",
		[CPU_POINTER_AUTH] = "pointer authentication",
		[CPU_STOLEN_TIME] = "stolen time",
	};
	char lists[2][100] = { "", "" };

	if (survey->kvm || !is_arm64(survey))
		return SILENT;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		char *list = lists[survey->limits.cpu_features >> i & 1];

		strcat(strcat(list, *list ? ", " : ""), names[i]);
	}
	return found(finding, OK, "guests' CPUs have %s%s%s%s", *lists[1] ? lists[1] : "no extras",
		*lists[0] ? " (and no " : "", lists[0], *lists[0] ? ")" : "");
}

static enum status check_suspend(const struct survey *survey, struct finding *finding)
{
	if (survey->kvm || !is_arm64(survey))
		return SILENT;
	return found(finding, OK, "%s suspend of the system",
		survey->limits.system_suspend ? "with" : "without");
}

static enum status check_nested(const struct survey *survey, struct finding *finding)
{
	static const char mode[] = "kvm-arm.mode=nested";
	unsigned major = 0, minor = 0;
	char line[4096];

	if (survey->kvm || !is_arm64(survey))
		return SILENT;
	if (survey->limits.cpu_features & 1u << CPU_NESTED)
		return found(finding, OK, "with nested virtualization: guests can be hosts");
	sscanf(survey->name.release, "%u.%u", &major, &minor);
	if (major < 6 || (major == 6 && minor < 16))
		advise(finding,
			"it takes Linux 6.16 or newer, %s on its command line, and a CPU with FEAT_NV2",
			mode);
	else if (!strstr(first_line(survey, "/proc/cmdline", line, sizeof(line)), mode))
		advise(finding, "it takes %s on the kernel's command line, and a CPU with FEAT_NV2",
			mode);
	else
		advise(finding, "it takes a CPU with FEAT_NV2, and this one seems to have none");
	return found(finding, NOTE, "without nested virtualization: guests cannot be hosts");
}

#define HOST_CPUS 256 /* that are checked */

/* The kind of a host's CPU: MIDR_EL1 without variant and revision (Arm ARM, D19). 0: not known. */
static uint64_t kind_of_cpu(const struct survey *survey, unsigned cpu)
{
	char path[80], line[40];

	snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%u/regs/identification/midr_el1",
		cpu);
	return strtoull(first_line(survey, path, line, sizeof(line)), NULL, 16) & 0xff0ffff0;
}

static enum status check_kinds_of_cpus(const struct survey *survey, struct finding *finding)
{
	uint64_t first = kind_of_cpu(survey, 0);
	char different[100] = "";
	size_t len = 0;

	for (unsigned cpu = 1; first && cpu < HOST_CPUS && len < sizeof(different) - 8; cpu++) {
		uint64_t kind = kind_of_cpu(survey, cpu);

		if (kind && kind != first)
			len += (size_t)snprintf(different + len, sizeof(different) - len, "%s%u",
				len ? " " : "", cpu);
	}
	if (!len)
		return SILENT;
	advise(finding,
		"a guest's CPU that moves from one kind to another finds its features changed: give each CPU of a tree a sluice,host-cpus of one kind, such as <%s>",
		different);
	return found(finding, NOTE, "CPUs of several kinds: %s differ from CPU 0", different);
}

const doctor_check doctor_kvm_checks[] = {
	check_architecture,
	check_kvm,
	check_slots,
	check_ipa,
	check_gic,
	check_gicv,
	check_nisv,
	check_features,
	check_suspend,
	check_nested,
	check_kinds_of_cpus,
	NULL,
};
