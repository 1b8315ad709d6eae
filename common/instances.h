/* A server whose name is looked up again and again stands for up to INSTANCES_MAX instances: which of them
 * has which of the name's addresses, and where that lies in shared memory.
 */
#ifndef PROXYD_COMMON_INSTANCES_H
#define PROXYD_COMMON_INSTANCES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/shm.h"
#include "common/sockaddr.h"

#define INSTANCES_MAX 16

struct resolved; /* common/resolver.h */

struct instance {
	struct sockaddr_any addr; /* len 0: it has none */
	uint32_t weight;          /* 1 to 256; 0: that of the configuration */
	bool backup;
};

enum instance_change {
	INSTANCE_SAME,
	INSTANCE_ADDED,
	INSTANCE_REMOVED,
	INSTANCE_REPLACED, /* removed, and another address added in its place */
	INSTANCE_RATED,    /* the same address, another weight or backup */
};

/* Bring now up to date with what a lookup found. An instance keeps its address as long as it is found; new
 * addresses go, in their order, to instances that were free, then to those that became free by this. With
 * more addresses than instances, those that have one stay and the lowest others are taken. port 0: found
 * says the ports, weights and priorities (SRV): the first priority serves, the others are backup. Sorts
 * found. Returns how many different addresses were found. */
size_t instances_assign(struct instance now[INSTANCES_MAX], struct resolved *found, size_t nfound,
	uint16_t port, enum instance_change changes_r[INSTANCES_MAX]);

/* Any process; false when the server at this place has no address. */
bool instance_read(struct shm *shm, uint32_t place, struct instance *instance_r);

/* The checker; the master before it. len 0 takes the address away. */
void instance_write(struct shm *shm, uint32_t place, const struct instance *instance);

/* The weight in force: the operator's, or as long as that is the configured one, the record's. */
uint32_t instance_weight(const struct instance *instance, uint32_t admin, uint32_t configured);

#endif
