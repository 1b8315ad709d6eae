/* The built-in http service: answers every request with the frontend's message. See service.h for the
 * rules that both functions keep.
 */
#ifndef PROXYD_WORKER_PROTOCOL_HTTP_H
#define PROXYD_WORKER_PROTOCOL_HTTP_H

#include "worker/protocol/service.h"

void http_answer(const struct service_state *state, const struct service_input *in,
	struct service_output *out_r);
void http_answered(struct service_state *state, const struct service_input *in);

#endif
