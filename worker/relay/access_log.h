/* One line per relay at its end, in the order of HAProxy's tcplog or as JSON.
 */
#ifndef PROXYD_WORKER_RELAY_ACCESS_LOG_H
#define PROXYD_WORKER_RELAY_ACCESS_LOG_H

#include "worker/relay/relay.h"

struct relay;

/* Appended to the sink's buffer; relays_turn_end flushes it. */
void access_log_relay(const struct relay *relay, enum close_reason why);

#endif
