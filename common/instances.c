/* The assignment is a pure function; reading and writing keep the fields of an address together by its
 * sequence number.
 */
#include "common/instances.h"

#include <stdlib.h>
#include <string.h>

#include "common/resolver.h"

/* A writer that died half way leaves the number odd until its successor writes: not waited for. */
#define INSTANCE_TRIES 1000
#define WEIGHT_MAX     256

/* ------------------------------------------------------------------ assignment */

static int instance_order(const void *a, const void *b)
{
	const struct resolved *x = a;
	const struct resolved *y = b;
	size_t x_len, y_len;
	const void *x_bytes = sockaddr_host_bytes(&x->addr, &x_len);
	const void *y_bytes = sockaddr_host_bytes(&y->addr, &y_len);
	int order;

	if (x->priority != y->priority)
		return x->priority < y->priority ? -1 : 1;
	if (x_len != y_len)
		return x_len < y_len ? -1 : 1;
	order = memcmp(x_bytes, y_bytes, x_len);
	if (order != 0)
		return order;
	return (int)sockaddr_port(&x->addr) - (int)sockaddr_port(&y->addr);
}

static bool instance_is_found(
	const struct instance *list, size_t n, const struct sockaddr_any *addr)
{
	for (size_t i = 0; i < n; i++) {
		if (list[i].addr.len > 0 && sockaddr_equal(&list[i].addr, addr))
			return true;
	}
	return false;
}

/* Weights above 256 are made smaller in proportion; 0 counts as 1. */
static uint32_t instance_scale(uint32_t weight, uint32_t greatest)
{
	if (greatest > WEIGHT_MAX)
		weight = weight * WEIGHT_MAX / greatest;
	return weight > 0 ? weight : 1;
}

/* What was found as instances, each address once. Returns their number. */
static size_t instances_wanted(
	struct resolved *found, size_t nfound, uint16_t port, struct instance *wanted)
{
	uint32_t greatest = 0;
	size_t n = 0;

	for (size_t i = 0; i < nfound; i++) {
		if (port != 0)
			sockaddr_set_port(&found[i].addr, port);
		if (found[i].weight > greatest)
			greatest = found[i].weight;
	}
	qsort(found, nfound, sizeof(*found), instance_order);
	for (size_t i = 0; i < nfound; i++) {
		if (instance_is_found(wanted, n, &found[i].addr))
			continue;
		wanted[n].addr = found[i].addr;
		wanted[n].weight = port != 0 ? 0 : instance_scale(found[i].weight, greatest);
		wanted[n].backup = found[i].priority != found[0].priority;
		n++;
	}
	return n;
}

static enum instance_change instance_keep(
	struct instance *instance, struct instance *wanted, size_t nwanted)
{
	enum instance_change change = INSTANCE_REMOVED;

	if (instance->addr.len == 0)
		return INSTANCE_SAME;
	for (size_t i = 0; i < nwanted; i++) {
		if (wanted[i].addr.len == 0 || !sockaddr_equal(&instance->addr, &wanted[i].addr))
			continue;
		change =
			instance->weight == wanted[i].weight && instance->backup == wanted[i].backup
			? INSTANCE_SAME
			: INSTANCE_RATED;
		*instance = wanted[i];
		wanted[i].addr.len = 0; /* it has its place */
		return change;
	}
	instance->addr.len = 0;
	return change;
}

/* The first instance without an address that had none before, else the first without one. */
static struct instance *instance_free(
	struct instance now[INSTANCES_MAX], const enum instance_change changes[INSTANCES_MAX])
{
	struct instance *freed = NULL;

	for (size_t i = 0; i < INSTANCES_MAX; i++) {
		if (now[i].addr.len > 0)
			continue;
		if (changes[i] == INSTANCE_SAME)
			return &now[i];
		if (freed == NULL)
			freed = &now[i];
	}
	return freed;
}

size_t instances_assign(struct instance now[INSTANCES_MAX], struct resolved *found, size_t nfound,
	uint16_t port, enum instance_change changes_r[INSTANCES_MAX])
{
	struct instance wanted[RESOLVER_ADDRS_MAX] = { 0 };
	size_t nwanted;

	MUST(nfound <= RESOLVER_ADDRS_MAX);
	nwanted = instances_wanted(found, nfound, port, wanted);
	for (size_t i = 0; i < INSTANCES_MAX; i++)
		changes_r[i] = instance_keep(&now[i], wanted, nwanted);
	for (size_t i = 0; i < nwanted; i++) {
		struct instance *instance = instance_free(now, changes_r);

		if (wanted[i].addr.len == 0 || instance == NULL)
			continue;
		*instance = wanted[i];
		changes_r[instance - now] = changes_r[instance - now] == INSTANCE_REMOVED
			? INSTANCE_REPLACED
			: INSTANCE_ADDED;
	}
	return nwanted;
}

/* ------------------------------------------------------------------ shared memory */

static uint32_t load(_Atomic uint32_t *field)
{
	return atomic_load_explicit(field, memory_order_relaxed);
}

static void instance_copy(struct shm_address *address, struct instance *instance_r)
{
	const uint64_t host[2] = { atomic_load_explicit(&address->host[0], memory_order_relaxed),
		atomic_load_explicit(&address->host[1], memory_order_relaxed) };
	const uint32_t family = load(&address->family);
	struct sockaddr_any *addr = &instance_r->addr;

	memset(instance_r, 0, sizeof(*instance_r));
	instance_r->weight = load(&address->weight);
	instance_r->backup = load(&address->backup) != 0;
	addr->u.sa.sa_family = (sa_family_t)family;
	if (family == AF_INET) {
		addr->len = sizeof(addr->u.in);
		memcpy(&addr->u.in.sin_addr, host, sizeof(addr->u.in.sin_addr));
	} else if (family == AF_INET6) {
		addr->len = sizeof(addr->u.in6);
		memcpy(&addr->u.in6.sin6_addr, host, sizeof(addr->u.in6.sin6_addr));
	}
	if (addr->len > 0)
		sockaddr_set_port(addr, (uint16_t)load(&address->port));
}

bool instance_read(struct shm *shm, uint32_t place, struct instance *instance_r)
{
	struct shm_address *address = &shm_checker(shm)->addresses[place];

	MUST(place < SHM_SERVERS_MAX);
	for (unsigned i = 0; i < INSTANCE_TRIES; i++) {
		uint32_t before = atomic_load_explicit(&address->sequence, memory_order_acquire);

		instance_copy(address, instance_r);
		atomic_thread_fence(memory_order_acquire);
		if ((before & 1) == 0 && before == load(&address->sequence))
			return instance_r->addr.len > 0;
	}
	memset(instance_r, 0, sizeof(*instance_r));
	return false;
}

void instance_write(struct shm *shm, uint32_t place, const struct instance *instance)
{
	struct shm_address *address = &shm_checker(shm)->addresses[place];
	const struct sockaddr_any *addr = &instance->addr;
	uint32_t sequence = load(&address->sequence) | 1;
	uint64_t host[2] = { 0 };

	MUST(place < SHM_SERVERS_MAX);
	atomic_store_explicit(&address->sequence, sequence, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
	if (addr->len > 0 && addr->u.sa.sa_family == AF_INET)
		memcpy(host, &addr->u.in.sin_addr, sizeof(addr->u.in.sin_addr));
	else if (addr->len > 0)
		memcpy(host, &addr->u.in6.sin6_addr, sizeof(addr->u.in6.sin6_addr));
	atomic_store_explicit(&address->host[0], host[0], memory_order_relaxed);
	atomic_store_explicit(&address->host[1], host[1], memory_order_relaxed);
	atomic_store_explicit(
		&address->port, addr->len > 0 ? sockaddr_port(addr) : 0, memory_order_relaxed);
	atomic_store_explicit(&address->weight, instance->weight, memory_order_relaxed);
	atomic_store_explicit(&address->backup, instance->backup, memory_order_relaxed);
	atomic_store_explicit(
		&address->family, addr->len > 0 ? addr->u.sa.sa_family : 0, memory_order_relaxed);
	atomic_store_explicit(&address->sequence, sequence + 1, memory_order_release);
}

uint32_t instance_weight(const struct instance *instance, uint32_t admin, uint32_t configured)
{
	return instance->weight > 0 && admin == configured && admin > 0 ? instance->weight : admin;
}
