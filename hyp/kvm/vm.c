/* SPDX-License-Identifier: Apache-2.0 */
/* The VM itself; see vm.h. */
#include "hyp/kvm/vm.h"

#include <linux/kvm.h>
#include <unistd.h>

#include "hyp/kvm/kvm.h"
#include "hyp/kvm/mmio.h"

int vm_create(struct vm *vm, int kvm_fd, unsigned ipa_bits)
{
	int fd = kvm_create_vm(kvm_fd, ipa_bits);

	if (fd >= 0)
		vm_adopt(vm, kvm_fd, fd);
	return fd < 0 ? fd : 0;
}

void vm_adopt(struct vm *vm, int kvm_fd, int fd)
{
	struct kvm_enable_cap nisv = { .cap = KVM_CAP_ARM_NISV_TO_USER };
	struct kvm_enable_cap suspend = { .cap = KVM_CAP_ARM_SYSTEM_SUSPEND };

	*vm = (struct vm){ .kvm_fd = kvm_fd, .fd = fd, .gic_fd = -1, .its_fd = -1 };
	/* An older kernel refuses these: then stray pairs have no address, or the guest cannot suspend. */
	kvm_ioctl(fd, KVM_ENABLE_CAP, &nisv);
	kvm_ioctl(fd, KVM_ENABLE_CAP, &suspend);
}

void vm_destroy(struct vm *vm)
{
	if (vm->its_fd >= 0)
		close(vm->its_fd);
	if (vm->gic_fd >= 0)
		close(vm->gic_fd);
	if (vm->fd >= 0)
		close(vm->fd);
	vm->its_fd = vm->gic_fd = vm->fd = -1;
}

int vm_add_doorbells(struct vm *vm, const struct mmio_bus *bus)
{
	for (size_t i = 0; i < bus->count; i++) {
		const struct mmio_region *region = bus->regions[i];

		for (size_t j = 0; j < region->doorbell_count; j++) {
			struct kvm_ioeventfd ioeventfd = {
				.addr = region->gpa + region->doorbells[j].offset,
				.len = 4,
				.datamatch = region->doorbells[j].value,
				.fd = region->doorbells[j].fd,
				.flags = KVM_IOEVENTFD_FLAG_DATAMATCH,
			};
			int err = kvm_ioctl(vm->fd, KVM_IOEVENTFD, &ioeventfd);

			if (err)
				return err;
		}
	}
	return 0;
}
