/* SPDX-License-Identifier: Apache-2.0 */
/* From a blob to the guest's tree; see tree.h. */
#include "tests/fuzz/tree.h"

#include <libfdt.h>
#include <stdlib.h>

#include "board/boot/guest-tree.h"
#include "board/config/config.h"
#include "board/text/errors.h"
#include "hyp/base/util.h"

void fuzz_tree_read(const void *blob, size_t size)
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

	if (config_read_blob(blob, size, "fuzz", &host, &errors, &config)) {
		/* A machine that is refused has a reason. */
		CHECK(errors_any(&errors));
	} else {
		CHECK(!errors_any(&errors) && config->cpu_count && config->memory_count);
		if (!guest_tree_build(config, &input, &tree, &tree_size)) {
			CHECK(!fdt_check_full(tree, tree_size));
			guest_tree_check_aliases(config, tree, &errors);
			free(tree);
		}
		config_destroy(config);
	}
	errors_finish(&errors);
}
