/* The SRV records (RFC 2782) of a DNS message.
 */
#ifndef PROXYD_COMMON_SRV_H
#define PROXYD_COMMON_SRV_H

#include <stddef.h>
#include <stdint.h>

#include "common/must.h"

#define SRV_CLASS      1 /* IN */
#define SRV_TYPE       33
#define SRV_TARGET_MAX 256

struct srv_record {
	uint16_t priority;
	uint16_t weight;
	uint16_t port; /* never 0 */
	char target[SRV_TARGET_MAX];
};

/* At most max records; a target "." (there is no such service) and a port 0 give none. *ttl_s_r, shortest
 * of all, is changed only when there is one. Returns -1 when this is no DNS message. */
MUST_USE int srv_parse(const uint8_t *bytes, size_t len, struct srv_record *records, size_t max,
	size_t *n_r, uint32_t *ttl_s_r);

#endif
