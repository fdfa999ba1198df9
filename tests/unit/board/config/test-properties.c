/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every property that Sluice knows, on every node that Sluice reads: known there, or an error that
 * names node and property. Both come from the program's own tables, so a new property is tried
 * without a line here. The bindings in dts/bindings/ name the same properties as the tables.
 */
#include "tests/unit/helpers/unit.h"

#include <ctype.h>
#include <fnmatch.h>
#include <libfdt.h>
#include <stdlib.h>
#include <string.h>

#include "board/config/known.h"
#include "board/config/tree-file.h"
#include "devices/device.h"
#include "tests/unit/helpers/tree-source.h"

#define NAMES_MAX 256

/* A node, and what it may have: a kind's lists, or a class's table. */
struct place {
	char path[64];
	const struct known_node *known;
	const struct device_class *class;
};

static struct place places[64];
static size_t place_count;
static char *names[NAMES_MAX]; /* each once */
static size_t name_count;
static void *fdt; /* a machine with all places in it */

static void add_name(const char *name)
{
	char *copy = strdup(name), *star = strchr(copy, '*');

	/* A pattern matches this name. */
	if (star)
		*star = 'x';
	for (size_t i = 0; i < name_count; i++)
		if (!strcmp(names[i], copy)) {
			free(copy);
			return;
		}
	assert_true(name_count < NAMES_MAX);
	names[name_count++] = copy;
}

static void add_place(const char *path, const struct known_node *known, const struct device_class *class)
{
	struct place *place = &places[place_count++];

	assert_true(place_count <= ARRAY_SIZE(places));
	snprintf(place->path, sizeof(place->path), "%s", path);
	place->known = known;
	place->class = class;
	for (size_t list = 0; known && list < 2; list++)
		for (const char *const *n = list ? known->ours : known->standard; n && *n; n++)
			add_name(*n);
	for (const struct property *p = class ? class->properties : NULL; p && p->name; p++)
		add_name(p->name);
}

static int collect(void **state)
{
	static const char *const paths[NODE_KINDS] = {
		[NODE_ROOT] = "/",
		[NODE_CHOSEN] = "/chosen",
		[NODE_CPUS] = "/cpus",
		[NODE_CPU] = "/cpus/cpu@0",
		[NODE_MEMORY] = "/memory@40000000",
		[NODE_RESERVED] = "/reserved-memory",
		[NODE_RESERVATION] = "/reserved-memory/firmware@50000000",
		[NODE_WINDOW] = "/reserved-memory/growth@100000000",
		[NODE_OPTIONS] = "/options",
		[NODE_OPTIONS_SLUICE] = "/options/sluice",
	};
	struct errors errors = { 0 };
	char *change = NULL;
	size_t size;
	FILE *stream = open_memstream(&change, &size);

	for (size_t i = 0; i < NODE_KINDS; i++)
		add_place(paths[i], &known_nodes[i], NULL);
	fputs("&reserved { firmware@50000000 { reg = <0 0x50000000 0 0x1000>; }; };"
	      "/ { options { sluice { compatible = \"sluice,options\"; }; };", stream);
	for (size_t i = 0; device_table[i]; i++) {
		char path[16];
		/* The one that has the window is there. */
		bool there = !strcmp(device_table[i]->compatible, "sluice,virtio-mem");

		snprintf(path, sizeof(path), there ? "/vmem0" : "/device%zu", i);
		add_place(path, NULL, device_table[i]);
		if (!there)
			fprintf(stream, "%s { compatible = \"%s\"; };", path + 1, device_table[i]->compatible);
	}
	fputs("};", stream);
	fclose(stream);
	assert_int_equal(tree_source_open(tree_source_file("machine.dts", good_machine, change), NULL, &errors, &fdt), 0);
	free(change);
	return 0;
}

static int discard(void **state)
{
	for (size_t i = 0; i < name_count; i++)
		free(names[i]);
	free(fdt);
	tree_source_finish();
	return 0;
}

static bool in_list(const char *const *list, const char *name)
{
	for (; list && *list; list++)
		if (!fnmatch(*list, name, 0))
			return true;
	return false;
}

static bool place_knows(const struct place *place, const char *name)
{
	if (place->known)
		return in_list(place->known->ours, name) || in_list(place->known->standard, name);
	for (const struct property *p = place->class->properties; p && p->name; p++)
		if (!strcmp(p->name, name))
			return true;
	return false;
}

/* Whether the program refuses this property as one that the node does not know. */
static bool is_refused(const struct place *place, const char *name)
{
	size_t room = fdt_totalsize(fdt) + 1024;
	struct machine_config *config = NULL;
	struct errors errors = { 0 };
	void *copy = malloc(room);
	char said[256];
	bool refused;
	int node;

	assert_int_equal(fdt_open_into(fdt, copy, room), 0);
	node = fdt_path_offset(copy, place->path);
	assert_true(node >= 0);
	if (!fdt_getprop(copy, node, name, NULL))
		assert_int_equal(fdt_setprop(copy, node, name, NULL, 0), 0);
	assert_int_equal(fdt_pack(copy), 0);
	config_read_blob(copy, fdt_totalsize(copy), "machine", &big_host, &errors, &config);
	snprintf(said, sizeof(said), "%s: %s: belongs in ", place->path, name);
	refused = errors_lead(&errors, said);
	snprintf(said, sizeof(said), "%s: %s: unknown here", place->path, name);
	refused |= errors_lead(&errors, said);
	config_destroy(config);
	errors_finish(&errors);
	free(copy);
	return refused;
}

static void each_property_on_each_node(void **state)
{
	size_t wrong = 0;

	for (size_t i = 0; i < place_count; i++)
		for (size_t n = 0; n < name_count; n++) {
			bool knows = place_knows(&places[i], names[n]);

			wrong += !knows;
			if (is_refused(&places[i], names[n]) == knows)
				fail_msg("%s: %s is %s", places[i].path, names[n], knows ? "refused" : "accepted");
		}
	assert_true(wrong > 500);
}

/* Neither a vendor's own, which the guest gets where the node reaches it, nor a name that no table has. */
static void names_of_nobody(void **state)
{
	for (size_t i = 0; i < place_count; i++) {
		bool passes = places[i].known && places[i].known->passes;

		assert_int_equal(is_refused(&places[i], "acme,colour"), !passes);
		assert_int_equal(is_refused(&places[i], "linux,colour"), !passes);
		assert_true(is_refused(&places[i], "colour"));
		assert_true(is_refused(&places[i], "sluice,colour"));
	}
}

static const char *where_it_belongs[][3] = {
	{ "/reserved-memory/growth@100000000", "stray-reads", "belongs in the node of a sluice,virtio-mem, not here" },
	{ "/memory@40000000", "backing", "belongs in the node of a sluice,virtio-mem, not here" },
	{ "/options", "stray-access", "belongs in /options/sluice, not here" },
	{ "/cpus/cpu@0", "sluice,pmu", "belongs in /cpus, not here" },
	{ "/chosen", "bootarg", "unknown here; did you mean bootargs?" },
	{ "/", "colour", "unknown here; what is the guest's own has its vendor's prefix: acme,colour" },
};

static void what_is_said(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(where_it_belongs); i++) {
		size_t room = fdt_totalsize(fdt) + 1024;
		struct machine_config *config = NULL;
		struct errors errors = { 0 };
		void *copy = malloc(room);
		char said[256];

		assert_int_equal(fdt_open_into(fdt, copy, room), 0);
		assert_int_equal(fdt_setprop(copy, fdt_path_offset(copy, where_it_belongs[i][0]), where_it_belongs[i][1], NULL, 0), 0);
		config_read_blob(copy, fdt_totalsize(copy), "machine", &big_host, &errors, &config);
		snprintf(said, sizeof(said), "%s: %s: %s", where_it_belongs[i][0], where_it_belongs[i][1], where_it_belongs[i][2]);
		if (!errors_lead(&errors, said)) {
			errors_show(&errors);
			fail_msg("not said: %s", said);
		}
		config_destroy(config);
		errors_finish(&errors);
		free(copy);
	}
}

/* ---- The bindings ---- */

/* The names under "properties:" and "patternProperties:" of a binding, two spaces in; malloc'ed. */
static size_t read_binding(const char *file, char *ret[NAMES_MAX])
{
	const char *root = getenv("TOP");
	char *path, line[512];
	bool inside = false;
	size_t count = 0;
	FILE *stream;

	assert_true(asprintf(&path, "%s/dts/bindings/%s", root ? root : ".", file) > 0);
	stream = fopen(path, "r");
	if (!stream)
		fail_msg("no binding %s", path);
	while (fgets(line, sizeof(line), stream)) {
		char *name = line + 2, *end;

		if (!isspace((unsigned char)*line) && *line != '#')
			inside = !strncmp(line, "properties:", 11) || !strncmp(line, "patternProperties:", 18);
		if (!inside || strncmp(line, "  ", 2) || isspace((unsigned char)line[2]) || line[2] == '$')
			continue;
		name += strspn(name, "\"^(");
		end = name + strcspn(name, ")$\":\n");
		/* A pattern of many names. */
		if (name[strcspn(name, "|+*?\n")] != '\n')
			continue;
		assert_true(count < NAMES_MAX);
		ret[count++] = strndup(name, (size_t)(end - name));
	}
	fclose(stream);
	free(path);
	return count;
}

static bool has(char *const *list, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (!strcmp(list[i], name))
			return true;
	return false;
}

static void compare(const char *file, const struct place *place, const char *const *mine)
{
	static const char *const always[] = { "compatible", "status", "label", "cpus", NULL };
	char *theirs[NAMES_MAX];
	size_t count = read_binding(file, theirs);

	for (; mine && *mine; mine++)
		if (!strchr(*mine, '*') && !has(theirs, count, *mine))
			fail_msg("%s does not name %s, which the program knows", file, *mine);
	for (size_t i = 0; i < count; i++)
		if (!place_knows(place, theirs[i]) && !in_list(always, theirs[i]))
			fail_msg("%s names %s, which the program does not know", file, theirs[i]);
	for (size_t i = 0; i < count; i++)
		free(theirs[i]);
}

static void bindings_name_the_same(void **state)
{
	for (size_t i = 0; i < place_count; i++) {
		const struct place *place = &places[i];
		const char *mine[NAMES_MAX] = { NULL };
		char file[64];
		size_t count = 0;

		if (place->known && place->known->binding) {
			compare(place->known->binding, place, place->known->ours);
			compare(place->known->binding, place, place->known->standard);
		}
		if (!place->class)
			continue;
		for (const struct property *p = place->class->properties; p && p->name; p++)
			mine[count++] = p->name;
		snprintf(file, sizeof(file), "%s.yaml", place->class->compatible);
		compare(file, place, mine);
	}
}

#define TEST(function) { .name = #function, .test_func = function }

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(each_property_on_each_node), TEST(names_of_nobody), TEST(what_is_said), TEST(bindings_name_the_same),
	};

	return cmocka_run_group_tests_name("properties", tests, collect, discard);
}
