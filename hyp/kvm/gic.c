/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The in-kernel interrupt controller and the lines into it; see vm.h. Rules of the devices:
 * Documentation/virt/kvm/devices/arm-vgic.rst and arm-vgic-v3.rst.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "hyp/base/util.h"
#include "hyp/kvm/kvm.h"
#include "hyp/kvm/vm.h"

#ifndef KVM_DEV_ARM_VGIC_GRP_MAINT_IRQ
#define KVM_DEV_ARM_VGIC_GRP_MAINT_IRQ 9
#endif

#define PPI_FIRST_INTID 16
#define SPI_FIRST_INTID 32

static int set_attribute(int fd, uint32_t group, uint64_t attribute, void *value)
{
	struct kvm_device_attr attr = {
		.group = group,
		.attr = attribute,
		.addr = (uintptr_t)value,
	};

	return kvm_ioctl(fd, KVM_SET_DEVICE_ATTR, &attr);
}

static int set_address(int fd, uint64_t type, uint64_t gpa)
{
	return set_attribute(fd, KVM_DEV_ARM_VGIC_GRP_ADDR, type, &gpa);
}

static int create_device(const struct vm *vm, uint32_t type, int *ret_fd)
{
	struct kvm_create_device device = { .type = type };
	int err = kvm_ioctl(vm->fd, KVM_CREATE_DEVICE, &device);

	if (!err)
		*ret_fd = (int)device.fd;
	return err;
}

static int create_v2(struct vm *vm, const struct gic_layout *layout)
{
	int err = create_device(vm, KVM_DEV_TYPE_ARM_VGIC_V2, &vm->gic_fd);

	if (!err)
		err = set_address(vm->gic_fd, KVM_VGIC_V2_ADDR_TYPE_DIST, layout->dist_gpa);
	return err ? err : set_address(vm->gic_fd, KVM_VGIC_V2_ADDR_TYPE_CPU, layout->cpu_gpa);
}

static int create_v3(struct vm *vm, const struct gic_layout *layout)
{
	int err = create_device(vm, KVM_DEV_TYPE_ARM_VGIC_V3, &vm->gic_fd);

	if (!err)
		err = set_address(vm->gic_fd, KVM_VGIC_V3_ADDR_TYPE_DIST, layout->dist_gpa);
	for (uint64_t i = 0; i < ARRAY_SIZE(layout->redist) && !err; i++)
		if (layout->redist[i].count)
			err = set_address(vm->gic_fd, KVM_VGIC_V3_ADDR_TYPE_REDIST_REGION,
				(uint64_t)layout->redist[i].count << 52 | layout->redist[i].gpa |
					i);
	if (!err && layout->its_gpa)
		err = create_device(vm, KVM_DEV_TYPE_ARM_VGIC_ITS, &vm->its_fd);
	if (!err && layout->its_gpa)
		err = set_address(vm->its_fd, KVM_VGIC_ITS_ADDR_TYPE, layout->its_gpa);
	return err;
}

int gic_create(struct vm *vm, const struct gic_layout *layout)
{
	uint32_t interrupts = layout->interrupts,
		 maintenance = GIC_MAINTENANCE_PPI + PPI_FIRST_INTID;
	int err = (layout->version == 3 ? create_v3 : create_v2)(vm, layout);

	vm->gic_version = layout->version;
	if (!err && layout->nested)
		err = set_attribute(vm->gic_fd, KVM_DEV_ARM_VGIC_GRP_MAINT_IRQ, 0, &maintenance);
	return err ? err : set_attribute(vm->gic_fd, KVM_DEV_ARM_VGIC_GRP_NR_IRQS, 0, &interrupts);
}

int gic_init(struct vm *vm)
{
	int err = set_attribute(
		vm->gic_fd, KVM_DEV_ARM_VGIC_GRP_CTRL, KVM_DEV_ARM_VGIC_CTRL_INIT, NULL);

	if (err || vm->its_fd < 0)
		return err;
	return set_attribute(
		vm->its_fd, KVM_DEV_ARM_VGIC_GRP_CTRL, KVM_DEV_ARM_VGIC_CTRL_INIT, NULL);
}

/* After this many ends of interrupt the guest has taken the last signal. */
#define ENDS_TO_HEAR 2

static void signal_edge(struct irq_pin *pin)
{
	uint64_t one = 1;
	ssize_t n = write(pin->line.event_fd, &one, sizeof(one));

	(void)n; /* EAGAIN at 2^64 - 2 unread signals: it interrupts anyway */
}

static void set_edge(struct irq_line *line, bool level)
{
	struct irq_pin *pin = container_of(line, struct irq_pin, line);

	if (!level)
		return;
	pin->again = ENDS_TO_HEAR;
	signal_edge(pin);
}

/*
 * KVM has lowered the line. The guest may have taken the ended interrupt before the line was last set, and the next one
 * too, since this handler may run late. It takes the one after that later.
 */
static void guest_ended(struct loop_fd *watch, uint32_t events)
{
	struct irq_pin *pin = container_of(watch, struct irq_pin, ended);
	bool elsewhere = pin->line.signalled && pin->line.signalled(&pin->line);
	unsigned again;
	eventfd_t count;

	(void)!eventfd_read(watch->fd, &count);
	if (elsewhere)
		pin->again = ENDS_TO_HEAR;
	again = pin->again;
	while (again > 0 && !atomic_compare_exchange_weak(&pin->again, &again, again - 1))
		;
	if (again > 0)
		signal_edge(pin);
}

static void set_level(struct irq_line *line, bool level)
{
	struct irq_pin *pin = container_of(line, struct irq_pin, line);
	int fd = pin->vm_fd;
	struct kvm_irq_level request = {
		.irq = (uint32_t)(KVM_ARM_IRQ_TYPE_SPI << KVM_ARM_IRQ_TYPE_SHIFT) |
		       (uint32_t)(SPI_FIRST_INTID + pin->spi),
		.level = level,
	};

	if (fd >= 0)
		kvm_ioctl(fd, KVM_IRQ_LINE, &request);
}

int irq_pin_init(struct irq_pin *pin, struct loop *loop, int spi, bool edge)
{
	int err;

	*pin = (struct irq_pin){
		.line.set = edge ? set_edge : set_level,
		.spi = spi,
		.edge = edge,
		.line.event_fd = edge ? eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) : -1,
		.vm_fd = -1,
		.ended = { .fd = -1, .events = EPOLLIN, .ready = guest_ended, .name = "interrupts" },
	};
	if (!edge)
		return 0;
	pin->ended.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	err = pin->line.event_fd < 0 || pin->ended.fd < 0 ? -errno : loop_fd_add(loop, &pin->ended);
	if (err)
		irq_pin_finish(pin);
	return err;
}

void irq_pin_finish(struct irq_pin *pin)
{
	loop_fd_remove(&pin->ended);
	if (pin->edge && pin->line.event_fd >= 0)
		close(pin->line.event_fd);
	if (pin->edge && pin->ended.fd >= 0)
		close(pin->ended.fd);
	pin->line.event_fd = pin->ended.fd = -1;
}

int irq_pin_connect(struct irq_pin *pin, struct vm *vm)
{
	struct kvm_irqfd irqfd = {
		.fd = (uint32_t)pin->line.event_fd,
		.gsi = (uint32_t)pin->spi,
		.flags = KVM_IRQFD_FLAG_RESAMPLE,
		.resamplefd = (uint32_t)pin->ended.fd,
	};
	eventfd_t count;

	if (!pin->edge) {
		pin->vm_fd = vm->fd;
		return 0;
	}
	/* Drops signals from or for the previous VM. */
	(void)!eventfd_read(pin->line.event_fd, &count);
	(void)!eventfd_read(pin->ended.fd, &count);
	pin->again = 0;
	return kvm_ioctl(vm->fd, KVM_IRQFD, &irqfd);
}

void irq_pin_disconnect(struct irq_pin *pin)
{
	pin->vm_fd = -1;
}
