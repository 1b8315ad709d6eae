/* What a worker carries: bytes that it took from one socket of a relay and has not yet given to the other. They lie in
 * shared memory, so that they outlive it, and are the only bytes of a relay that do not lie in the kernel: for as long
 * as two system calls take, of one direction at a time. Of the children only workers can see them (shm_restrict).
 *
 * Which of them were on their way when it died, and whether any were, the kernel's counts say (common/ledger.h).
 */
#ifndef PROXYD_COMMON_CARRY_H
#define PROXYD_COMMON_CARRY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CARRY_BYTES (64U << 10)

struct carry {
	uint64_t relay;     /* its id; 0: nothing is carried */
	uint64_t forwarded; /* queued at the writer, of all that was ever read, before bytes[0] */
	uint8_t up;         /* 1: from the client to the server */
	uint8_t unused[47];
	char bytes[CARRY_BYTES];
};

/* Before the first byte is taken: what is missing from now on lies here. */
static inline void carry_begin(struct carry *carry, uint64_t relay, bool up, uint64_t forwarded)
{
	carry->forwarded = forwarded;
	carry->up = up;
	atomic_signal_fence(memory_order_seq_cst);
	carry->relay = relay;
	atomic_signal_fence(memory_order_seq_cst);
}

/* All of them are in the kernel again. */
static inline void carry_end(struct carry *carry)
{
	atomic_signal_fence(memory_order_seq_cst);
	carry->relay = 0;
}

static inline bool carry_is(const struct carry *carry, uint64_t relay, bool up)
{
	return carry->relay == relay && carry->up == up;
}

/* The `missing` bytes that follow after `forwarded`. NULL when those are not here. */
static inline const char *carry_find(
	const struct carry *carry, uint64_t forwarded, uint64_t missing)
{
	uint64_t at = forwarded - carry->forwarded;

	if (forwarded < carry->forwarded || at > CARRY_BYTES || missing > CARRY_BYTES - at)
		return NULL;
	return carry->bytes + at;
}

#endif
