/* SPDX-License-Identifier: Apache-2.0 */
/* Trees written in the test; see tree-source.h. */
#include "tests/unit/helpers/tree-source.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "board/config/tree-file.h"
#include "hyp/base/util.h"
#include "tests/unit/helpers/unit.h"

static char folder[64];
static char path[256];

const char good_machine[] =
	"/dts-v1/;\n"
	"/ {\n"
	"	compatible = \"acme,gateway\", \"sluice,machine\";\n"
	"	#address-cells = <2>; #size-cells = <2>;\n"
	"	cpus: cpus { #address-cells = <1>; #size-cells = <0>;\n"
	"		cpu0: cpu@0 { device_type = \"cpu\"; reg = <0>; };\n"
	"	};\n"
	"	memory: memory@40000000 { device_type = \"memory\"; reg = <0x0 0x40000000 0x0 "
	"0x20000000>; };\n"
	"	reserved: reserved-memory { #address-cells = <2>; #size-cells = <2>; ranges;\n"
	"		growth: growth@100000000 { reg = <0x1 0x0 0x1 0x0>; no-map; };\n"
	"	};\n"
	"	vmem0: vmem0 { compatible = \"sluice,virtio-mem\"; memory-region = <&growth>; };\n"
	"	chosen: chosen { bootargs = \"quiet\"; sluice,kernel = \"vmlinuz\"; };\n"
	"};\n";

const struct host_limits big_host = {
	.ipa_bits = 48,
	.address_space = 256 * TiB,
	.page_bytes = 4 * KiB,
	.memslots = 32767,
	.vhost_regions = 64,
	.vcpus = 512,
	.gicv2 = true,
	.gicv3 = true,
	.its = true,
	.cpu_features = 0x1f,
};

const char *tree_source_file(const char *name, const char *base, const char *change)
{
	FILE *file;

	if (!*folder) {
		snprintf(folder, sizeof(folder), "%s/sluice-test-XXXXXX",
			access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
		CHECK(mkdtemp(folder));
	}
	snprintf(path, sizeof(path), "%s/%s", folder, name);
	file = fopen(path, "w");
	CHECK(file);
	if (!strncmp(change, "/memreserve/", 12)) /* dtc wants these before the root */
		fprintf(file, "/dts-v1/;\n%s\n%s\n", change, base + strlen("/dts-v1/;"));
	else
		fprintf(file, "%s%s\n", base, change);
	CHECK(!fclose(file));
	return path;
}

static int remove_one(const char *name, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(name);
}

void tree_source_finish(void)
{
	if (*folder)
		nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	*folder = '\0';
}

int tree_source_read(const char *base, const char *change, const struct host_limits *host,
	struct errors *errors, struct machine_config **ret)
{
	const struct tree_source source = { .file = tree_source_file("machine.dts", base, change) };

	return config_read(&source, host, errors, ret);
}

int tree_source_open(const char *file, const char *overlay, struct errors *errors, void **ret)
{
	const struct tree_source source = {
		.file = file, .overlays = { overlay }, .overlay_count = !!overlay
	};
	struct tree_origin origin;

	return tree_file_open(&source, NULL, errors, &origin, ret);
}

struct machine_config *tree_source_good(const char *change, const struct host_limits *host)
{
	struct machine_config *config = NULL;
	struct errors errors = { 0 };

	if (tree_source_read(good_machine, change, host, &errors, &config)) {
		errors_show(&errors);
		fail_msg("a good machine is refused");
	}
	errors_finish(&errors);
	return config;
}

void errors_show(const struct errors *errors)
{
	for (size_t i = 0; i < errors->count; i++)
		print_message("  %s\n", errors->lines[i]);
}

bool errors_say(const struct errors *errors, const char *part)
{
	for (size_t i = 0; i < errors->count; i++)
		if (strstr(errors->lines[i], part))
			return true;
	return false;
}

bool errors_lead(const struct errors *errors, const char *part)
{
	if (*part != '/' && strncmp(part, "warning: ", 9))
		return errors_say(errors, part);
	for (size_t i = 0; i < errors->count; i++)
		if (!strncmp(errors->lines[i], part, strlen(part)))
			return true;
	return false;
}
