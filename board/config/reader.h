/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared by the parts of the configuration's reader; read.c has their order. Every part continues after an error, so
 * that all errors are printed at once.
 */
#ifndef SLUICE_BOARD_CONFIG_READER_H
#define SLUICE_BOARD_CONFIG_READER_H

#include "board/config/config.h"
#include "board/config/known.h"
#include "board/config/tree.h"
#include "board/text/errors.h"

#define CONFIG_RESERVED (CONFIG_RANGES + CONFIG_DEVICES)

/* A child of /reserved-memory. */
struct reserved_node {
	int node;
	uint32_t phandle;		  /* 0: none */
	struct range range;		  /* size 0: not known yet */
	bool several;			  /* more than one range in reg */
	bool is_static;			  /* has reg */
	bool broken;			  /* an error was added that makes the range useless */
	const struct device_config *user; /* whose window it is */
};

/* Guest-physical space that is taken, for overlap messages. */
struct claim {
	struct range range;
	int node; /* -1: none; then `what` names it */
	const char *what;
};

struct reader {
	struct tree tree;
	const struct host_limits *host;
	struct machine_config *config;
	struct cells cells;	     /* the root's */
	struct cells reserved_cells; /* those of /reserved-memory */
	struct reserved_node reserved[CONFIG_RESERVED];
	size_t reserved_count;
	struct claim claims[CONFIG_RANGES + 2 * CONFIG_RESERVED];
	size_t claim_count;
	/* In the order of config->devices; `region` is an index into `reserved`, or -1. */
	struct device_node {
		const struct device_class *class;
		int node, region;
		unsigned alias; /* N of its /aliases virtioN, else UINT_MAX */
	} device_nodes[CONFIG_DEVICES];
};

/* A range in a message: "0x40000000+0x20000000 (512 MiB)". */
#define RANGE_FORMAT  "0x%" PRIx64 "+0x%" PRIx64 " (%s)"
#define RANGE_ARGS(r) (r).gpa, (r).size, SIZE((r).size)

/* The end of the guest addresses that this host's KVM offers. */
static inline uint64_t layout_ipa_end(const struct reader *reader)
{
	return reader->host->ipa_bits < 64 ? UINT64_C(1) << reader->host->ipa_bits : UINT64_MAX;
}

/* Records that the range is taken, by `node` or, if that is -1, by `what`. */
void layout_claim(struct reader *reader, const struct range *range, int node, const char *what);
const struct claim *layout_overlap(const struct reader *reader, const struct range *range);
/* Adds "`what` RANGE overlaps OTHER" at `node`. */
void layout_overlap_error(struct reader *reader, int node, const char *property, const char *what,
	const struct range *range, const struct claim *other);
/* Of two struct range, for qsort(). */
int layout_compare(const void *a, const void *b);
/* Adds to config->reserved; errors name `what`, or the node's reg if it is NULL. */
void layout_reserve(struct reader *reader, int node, const char *what, const struct range *range);

/* cpus.c: /cpus, after the interrupt controller is known. */
/* At least as many CPUs as cpus_read() accepts. */
size_t cpus_room(const struct tree *tree);
void cpus_read(struct reader *reader);
/* Checks the CPUs against the machine's GIC, once that is known. */
void cpus_check_gic(struct reader *reader);

/* layout.c: memory and reserved ranges. */
void layout_read_memory(struct reader *reader);
void layout_read_reserved(struct reader *reader);

/* layout-windows.c: when devices are known, their windows. */
void layout_place_windows(struct reader *reader);
void layout_check_totals(struct reader *reader);
/* Writes the addresses of placed windows into the tree; ends the validity of node offsets. */
int layout_write_placed(struct reader *reader);

/* devices.c: nodes by their class's table; then, with windows placed, their rules and slots. */
void devices_read(struct reader *reader);
void devices_check(struct reader *reader);

/* ports.c: the ports that a device's property names. */
struct property_ports;
void read_ports(
	struct reader *reader, size_t index, const char *property, struct property_ports *ret);

/* passthrough.c: rejects nodes passed to the guest that use Sluice's own addresses, interrupts or names. */
void passthrough_check(struct reader *reader);
/* references.c: checks that what the tree refers to exists. Last, since it reports less after other errors. */
void references_check(struct reader *reader);

/* read.c: the file that a property names. *ret stays as it was after an error, or if the property is absent. */
void read_path(struct reader *reader, int node, const char *property, struct host_path *ret);
/* A console's back end; false if the text names none. */
bool read_console_spec(struct reader *reader, int node, const char *property, const char *text,
	struct console_spec *ret);

#define DID_YOU_MEAN 192
/* The nearest of the names, as "; did you mean X?", or "". */
const char *did_you_mean(char buf[DID_YOU_MEAN], const char *name, const char *const *names);
/* The class of a compatible, or NULL. */
const struct device_class *device_class_of(const char *compatible);

#endif
