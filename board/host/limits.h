/* SPDX-License-Identifier: Apache-2.0 */
/* What the host that Sluice runs on allows. */
#ifndef SLUICE_BOARD_HOST_LIMITS_H
#define SLUICE_BOARD_HOST_LIMITS_H

#include <stdbool.h>
#include <stdint.h>

#include "board/host/identity.h"
#include "hyp/kvm/kvm.h"

/*
 * What the host allows, as far as the description depends on it. host_probe() fills it from the running host; a test
 * fills in any host it likes.
 */
struct host_limits {
	unsigned ipa_bits;	   /* guest-physical address bits KVM offers */
	uint64_t address_space;	   /* bytes a process may reserve; 0: measured when needed */
	uint64_t address_run;	   /* the longest run of it; 0: not known */
	uint64_t page_bytes;	   /* 4096, 16384 or 65536 */
	unsigned memslots;	   /* struct kvm_limits */
	unsigned vcpus;		   /* KVM_CAP_MAX_VCPUS */
	bool gicv2, gicv3, its;	   /* interrupt controllers for guests; none: host_gics() */
	unsigned cpu_features;	   /* a bit 1 << enum cpu_feature each */
	unsigned cpus;		   /* of the host: 0 to cpus - 1; 0: not known */
	unsigned vhost_regions;	   /* slots that vhost takes */
	uint8_t id[HOST_ID_BYTES]; /* identity_read_host()'s */
	bool files; /* the running host: check the files that a tree names, even if it has errors */
	struct kvm_limits kvm; /* all that KVM offers, for the machine */
};

/*
 * Probes the running host. If KVM cannot be used the result is -errno (as kvm_probe(); -ENOTSUP for a KVM that is not
 * arm64's). The limits are still filled in then, to check a tree: 40 bits of guest addresses, 32766 slots, 512 vCPUs,
 * GIC and CPUs unknown (0).
 */
int host_probe(struct host_limits *ret);

/*
 * The address space that this process can reserve, in bytes: in all, and the longest run. From `host`, if it knows;
 * else UINT64_MAX if `enough` bytes can be had in one run.
 */
void host_address_space(
	const struct host_limits *host, uint64_t enough, uint64_t *ret_all, uint64_t *ret_run);

/*
 * Which interrupt controllers a machine may have. From `host`, if it knows; else a VM with guest addresses of
 * `ipa_bits` is created on the running host and asked, once; it stays open for host_take_vm(). None: not known (no
 * KVM).
 */
void host_gics(const struct host_limits *host, unsigned ipa_bits, struct kvm_gics *ret);
/* That VM, now the caller's, if it was made for as many bits. Otherwise it is closed, and the result is 0. */
int host_take_vm(unsigned ipa_bits);

#endif
