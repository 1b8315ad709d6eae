/* The payloads of the messages in messages.def. Fixed sizes, no pointers, no padding left unset. */
#ifndef PROXYD_COMMON_MESSAGES_H
#define PROXYD_COMMON_MESSAGES_H

#include <stdint.h>

enum message_type {
	MSG_NONE,
#define MSG_TYPE(name, direction, payload, elements, fds) name,
#include "common/messages.def"
#undef MSG_TYPE
	MSG_TYPES,
};

struct msg_ready {
	int32_t pid;
	uint32_t unused;
};

struct msg_stop {
	uint32_t drain_ms;
	uint32_t unused;
};

/* One listening socket: which of the master's it is, and for which bind of which frontend. */
struct msg_listener {
	uint32_t id;       /* the master's number for the socket, unique in the daemon's life */
	uint32_t frontend; /* index into conf->frontends */
};

#endif
