/* SPDX-License-Identifier: Apache-2.0 */
/* The MMIO bus; see mmio.h. Regions are added before the vCPUs run, so lookups take no lock. */
#include "hyp/kvm/mmio.h"

#include <errno.h>
#include <string.h>

#include "hyp/base/util.h"

/* The index of the first region that ends beyond `gpa`. */
static size_t find(const struct mmio_bus *bus, uint64_t gpa)
{
	size_t low = 0, high = bus->count;

	while (low < high) {
		size_t middle = (low + high) / 2;
		const struct mmio_region *region = bus->regions[middle];

		if (gpa - region->gpa < region->size || gpa < region->gpa)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

int mmio_bus_add(struct mmio_bus *bus, struct mmio_region *region)
{
	size_t at = find(bus, region->gpa);

	if (!region->size || region->gpa + region->size < region->gpa)
		return -EINVAL;
	if (at < bus->count && ranges_overlap(region->gpa, region->size, bus->regions[at]->gpa,
				       bus->regions[at]->size))
		return -EEXIST;
	if (bus->count == MMIO_BUS_REGIONS)
		return -ENOSPC;
	memmove(&bus->regions[at + 1], &bus->regions[at],
		(bus->count - at) * sizeof(bus->regions[0]));
	bus->regions[at] = region;
	bus->count++;
	return 0;
}

const struct mmio_region *mmio_bus_find(const struct mmio_bus *bus, uint64_t gpa)
{
	size_t at = find(bus, gpa);

	return at < bus->count && gpa >= bus->regions[at]->gpa ? bus->regions[at] : NULL;
}

bool mmio_bus_access(struct mmio_bus *bus, uint64_t gpa, unsigned size, bool write, uint64_t *data)
{
	struct mmio_access access = { .size = size, .write = write, .data = write ? *data : 0 };
	size_t at = find(bus, gpa);
	struct mmio_region *region;

	if (at == bus->count)
		return false;
	region = bus->regions[at];
	access.offset = gpa - region->gpa;
	if (gpa < region->gpa || region->size - access.offset < size)
		return false;
	pthread_mutex_lock(region->lock);
	region->access(region, &access);
	pthread_mutex_unlock(region->lock);
	if (!write)
		*data = access.data;
	return true;
}

bool mmio_bus_ignores(struct mmio_bus *bus, uint64_t gpa, bool write)
{
	size_t at = find(bus, gpa);
	struct mmio_region *region = at < bus->count ? bus->regions[at] : NULL;
	bool ignores;

	if (!region || gpa < region->gpa || !region->ignores)
		return false;
	pthread_mutex_lock(region->lock);
	ignores = region->ignores(region, gpa - region->gpa, write);
	pthread_mutex_unlock(region->lock);
	return ignores;
}
