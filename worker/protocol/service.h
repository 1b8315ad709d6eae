/* The built-in services: what answers a client when a frontend has no backend. Like the pump they hold no
 * byte: a service is a function from the bytes that were peeked to the bytes that answer them. The relay
 * sends the answer, over several turns when the client is slow, and only then drops what was answered; the
 * few numbers in between lie in the relay's record.
 */
#ifndef PROXYD_WORKER_PROTOCOL_SERVICE_H
#define PROXYD_WORKER_PROTOCOL_SERVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/record.h"
#include "conf/conf.h"

/* Lies in relay_record.protocol; zero at the beginning. body_left and flags are the service's, the others the
 * relay's own. */
struct service_state {
	uint32_t unit_bytes; /* input that the answer under way stands for; 0: none is under way */
	uint32_t sent_bytes; /* of that answer */
	uint64_t body_left;  /* http: of a request's body, still to be dropped */
	uint32_t flags;
	uint16_t finish;  /* the last answer was sent: a FIN follows */
	uint16_t service; /* enum conf_service */
};

struct service_input {
	const struct conf_frontend *frontend;
	uint16_t port; /* the local one, %p; 0 for a Unix socket */
	const char *bytes;
	size_t len; /* over 0 */
	bool full;  /* the buffer is full: more will not be shown before something is consumed */
};

struct service_output {
	char *bytes; /* where the answer goes */
	size_t max;  /* at least 256 KiB and at least the input's len */
	size_t len;
	size_t consumed; /* of the input; 0 with len 0: wait for more */
	bool close;      /* after the answer */
};

/* Called with the same input again (same bytes, exactly unit_bytes long) while its answer is being sent,
 * and must then give the same answer; a change of state therefore belongs into `answered`. */
struct service {
	const char *name;
	void (*answer)(const struct service_state *state, const struct service_input *in,
		struct service_output *out_r);
	/* The whole answer was sent. in begins with what was consumed, and may hold more; may be NULL. */
	void (*answered)(struct service_state *state, const struct service_input *in);
};

/* Every answer begins with it: no answer yet, nothing consumed. bytes and max stay. */
static inline void service_output_clear(struct service_output *out_r)
{
	out_r->len = 0;
	out_r->consumed = 0;
	out_r->close = false;
}

/* NULL for SERVICE_NONE. */
const struct service *service_find(enum conf_service service);

#endif
