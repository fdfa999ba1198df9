/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes the reader of machines with blobs, and the guest's tree with what it takes for good:
 *
 *	fuzz-config -max_len=65536 CORPUS     (dtc -@ -I dts -O dtb makes a first blob)
 */
#include <libfdt.h>
#include <stdlib.h>

#include "board/config.h"
#include "board/errors.h"
#include "board/guest-tree.h"
#include "hyp/util.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct host_limits host = {
		.ipa_bits = 40,
		.address_space = 128 * TiB,
		.page_bytes = 4 * KiB,
		.memslots = 509,
		.vcpus = 512,
		.gicv3 = true,
	};
	const struct guest_tree_input input = { .initrd_gpa = 1, .initrd_size = 1 };
	struct machine_config *config;
	struct errors errors = { 0 };
	size_t tree_size;
	void *tree;

	if (config_read_blob(data, size, "fuzz", &host, &errors, &config)) {
		/* A machine that is refused has a reason. */
		CHECK(errors_any(&errors));
	} else {
		CHECK(!errors_any(&errors) && config->cpu_count && config->memory_count);
		if (!guest_tree_build(config, &input, &tree, &tree_size)) {
			CHECK(!fdt_check_full(tree, tree_size));
			free(tree);
		}
		config_destroy(config);
	}
	errors_finish(&errors);
	return 0;
}
