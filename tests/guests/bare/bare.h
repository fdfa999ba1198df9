/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a bare-metal guest has: newlib on a PL011, exceptions that are caught, an identity map with
 * caches on, CPUs, interrupts, a timer, a virtio-mem device, and a way to say pass or fail. A guest
 * is one C file with a main(argc, argv); argv is /chosen/bootargs, argv[0] the guest's name. It
 * prints TAP; when main() returns the plan is printed and the machine powers off.
 *
 * The machine is Sluice's (board/config/map.h): PL011, GIC and virtio-mmio where QEMU virt has them, so
 * that guests run there too.
 */
#ifndef SLUICE_BARE_H
#define SLUICE_BARE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/kvm/outcome.h"

#define KiB (UINT64_C(1) << 10)
#define MiB (UINT64_C(1) << 20)
#define GiB (UINT64_C(1) << 30)

/* ---- Results (result.c) ---- */

/* One TAP point; the text after it says what was seen where it is not ok. */
void result(bool ok, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The value of `name=VALUE` in bootargs, a number in C's notation, or `otherwise`. */
uint64_t argument(const char *name, uint64_t otherwise);
/* Prints a line and waits until the other side sends one: so that the host can examine the machine. */
void checkpoint(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ---- Console (console.c) ---- */

void console_init(void);
void console_put(char c);
/* Whether console_put() would wait. */
bool console_full(void);
/* The next byte, or -1 where none waits. */
int console_get(void);

/* ---- CPUs (cpu.c, start.S) ---- */

#define CPUS_MAX 40

struct fault {
	uint64_t esr, far, elr; /* esr 0: there was none */
};

/* One a CPU, in TPIDR_EL1; start.S knows the first two members. */
struct cpu {
	uint64_t recover; /* where an expected exception goes on; 0: none is expected */
	uint64_t stack;
	struct fault fault;
	unsigned index;
	volatile uint64_t ticks; /* timer interrupts taken */
	void (*run)(unsigned index, void *opaque);
	void *opaque;
	volatile bool done;
};

extern struct cpu cpus[CPUS_MAX];

/* This CPU's. */
struct cpu *cpu_self(void);
/* Starts CPU `index` (PSCI CPU_ON; KVM has 16 in a cluster) in run(index, opaque). False where there is none such. */
bool cpu_start(unsigned index, void (*run)(unsigned index, void *opaque), void *opaque);
/* Until it has returned; false after `ms`. */
bool cpu_wait(unsigned index, uint64_t ms);
int64_t psci(uint64_t function, uint64_t a, uint64_t b, uint64_t c);
#define PSCI_SYSTEM_OFF	  0x84000008
#define PSCI_SYSTEM_RESET 0x84000009
_Noreturn void power_off(void);
/* What main() returns to: for a guest whose first CPU is off. */
_Noreturn void bare_end(void);

uint64_t now_us(void);
void wait_us(uint64_t us);

/* ---- Exceptions (exceptions.c) ---- */

/* Other widths, besides the kinds that hyp/vcpu/stray-table.h knows: of 32, 8 and 16 bits. */
enum {
	ACCESS_LOAD32 = ACCESS_KINDS,
	ACCESS_LOAD8,
	ACCESS_LOAD16,
	ACCESS_STORE8,
	ACCESS_STORE16,
	ACCESS_STORE32
};

/* Makes one access; what it faulted with goes to *fault. The value loaded, or 0. */
uint64_t access_make(unsigned kind, uint64_t address, uint64_t value, struct fault *fault);
bool has_atomics(void);

/* ---- Memory (mmu.c) ---- */

/* Identity; the first GiB is device memory, the rest normal. Each CPU calls it once. */
void mmu_enable(void);
/* A load at the address that this returns walks a table that lies at `gpa`, a page. */
uint64_t mmu_walk_through(uint64_t gpa);
/* Where the GiB at `gpa` is once more, as normal memory: accesses need not be aligned. */
uint64_t mmu_alias(uint64_t gpa);

/* ---- Interrupts (gic.c) ---- */

/* Each CPU calls it once. */
void gic_init(void);
/* The virtual timer's interrupt comes in `us`, and counts in cpu->ticks. */
void timer_arm(uint64_t us);
/* An interrupt of a device's, to this CPU: it wakes it, and is off once it was taken. */
void gic_enable_once(unsigned intid);
/* A line of the machine's into this CPU, as an edge or, as after a reset, a level; one at a time has a handler. */
void gic_enable_spi(unsigned spi, bool edge, void (*handler)(void));
void gic_interrupt(void);

/* ---- virtio (virtio-mmio.c, virtio-pci.c, virtq.c) ---- */

#define VIRTQ_SIZE  64 /* of a ring, at most; fewer where the device has no more */
#define VIRTQ_PARTS 8  /* of a chain, at most */

/* A split queue, in memory of its own; all may be spoilt. */
struct virtq {
	struct virtq_desc {
		uint64_t addr;
		uint32_t len;
		uint16_t flags, next;
	} desc[VIRTQ_SIZE];
	struct {
		uint16_t flags;
		volatile uint16_t index;
		uint16_t ring[VIRTQ_SIZE];
	} driver;
	struct {
		uint16_t flags;
		volatile uint16_t index;
		struct {
			uint32_t id, len;
		} ring[VIRTQ_SIZE];
	} device __attribute__((aligned(4)));
	unsigned size;
} __attribute__((aligned(4096)));

/* A descriptor as the caller wants it. */
struct virtq_part {
	uint64_t addr;
	uint32_t len;
	bool writable;
};

/* A device on one of the transports. */
struct virtio {
	volatile uint32_t *config; /* the device's own */
	volatile void *regs, *doorbell;
	/* Reset to DRIVER_OK, with the first `count` queues, which are new then. On PCI with one. */
	void (*start)(
		struct virtio *virtio, uint64_t features, struct virtq *queues, unsigned count);
	void (*notify)(struct virtio *virtio, unsigned queue);
	bool (*needs_reset)(struct virtio *virtio);
};

/* The device at a place of virtio-mmio, or the first of its kind on PCI, as QEMU's virt has it with highmem-ecam=off. */
#define VIRTIO_MMIO_PLACES 32
bool virtio_mmio_open(struct virtio *virtio, unsigned place, uint32_t *ret_device_id);
bool virtio_pci_open(struct virtio *virtio, unsigned device_id);
/* The first device of this kind, on virtio-mmio, else on PCI. False where there is none. */
bool virtio_open(struct virtio *virtio, unsigned device_id);

#define VIRTIO_VERSION_1 (UINT64_C(1) << 32)

/* Empties the rings, of `size` each. */
void virtq_init(struct virtq *queues, unsigned count, unsigned size);
/* Puts a chain on the ring, and notifies the device. */
void virtq_offer(struct virtio *virtio, struct virtq *queue, unsigned index,
	const struct virtq_part *parts, unsigned count);
/* Waits until all has been returned; false after `us`, or where the device needs a reset. */
bool virtq_wait(struct virtio *virtio, struct virtq *queue, uint64_t us);
/* How many bytes the device says that it wrote to the chain returned last. */
uint32_t virtq_used_len(const struct virtq *queue);

/* ---- virtio-blk (virtio-blk.c) ---- */

#define VBLK_IN	   0
#define VBLK_OUT   1
#define VBLK_FLUSH 4

#define VBLK_CHAINS (VIRTQ_SIZE / VIRTQ_PARTS) /* that may be in flight */
#define VBLK_NONE   0xee

struct vblk {
	struct virtio virtio;
	uint64_t sectors;
};

bool vblk_open(struct vblk *vblk);
/* Resets it and starts its queue 0; `flushes`: takes the feature to flush. */
void vblk_start(struct vblk *vblk, bool flushes);
/* Puts a chain on the ring, and notifies the device. */
void vblk_offer(struct vblk *vblk, const struct virtq_part *parts, unsigned count);
/* How many chains were offered, and returned, since the start. */
uint16_t vblk_offered(void);
uint16_t vblk_given_back(void);
/* Waits until all have been; false after 10 s, or where the device needs a reset. */
bool vblk_wait(struct vblk *vblk);
/* One request, waited for; its status, VBLK_NONE where there is none, or -1 where it was not returned. */
int vblk_request(struct vblk *vblk, uint32_t type, uint64_t sector, void *data, uint32_t len);
bool vblk_needs_reset(struct vblk *vblk);

/* ---- virtio-mem (virtio-mem.c) ---- */

struct vmem {
	struct virtio virtio;
	uint64_t block, addr, region;
};

/* Finds the first and drives it. False where there is none. */
bool vmem_open(struct vmem *vmem);
/* The response's type (0 ACK, 1 NACK, 2 BUSY, 3 ERROR), or -1 where the device does not answer. */
int vmem_request(struct vmem *vmem, unsigned type, uint64_t addr, unsigned blocks, unsigned *state);
/* The same with the request itself, or the response, at an address of the caller's. */
int vmem_request_at(struct vmem *vmem, uint64_t request, uint64_t response);
enum { VMEM_PLUG, VMEM_UNPLUG, VMEM_UNPLUG_ALL, VMEM_STATE };
uint64_t vmem_usable(struct vmem *vmem);
uint64_t vmem_plugged(struct vmem *vmem);
uint64_t vmem_requested(struct vmem *vmem);

#endif
