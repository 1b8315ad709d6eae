/* What is a message: the table of messages.def, and whether one keeps to it.
 */
#include "common/messages.h"

#include <stdbool.h>

#include "common/channel.h"

#define FDS_SOME SIZE_MAX

struct message_kind {
	const char *name;
	enum channel_side from;
	size_t size;
	size_t elements;
	size_t fds;
};

static const struct message_kind message_kinds[MSG_TYPES] = {
#define MSG_TYPE(name, side, payload, elements, fds)                                               \
	[name] = { #name, side, sizeof(payload), elements, fds },
#include "common/messages.def"
#undef MSG_TYPE
};

#define MSG_TYPE(name, side, payload, elements, fds)                                               \
	_Static_assert(sizeof(payload) * (elements) <= CHANNEL_BYTES_MAX, #name " is too long");   \
	_Static_assert((fds) == FDS_SOME || (fds) <= CHANNEL_FDS_MAX / ((elements) + 1),           \
		#name " has too many fds");
#include "common/messages.def"
#undef MSG_TYPE

static bool message_type_valid(uint32_t type)
{
	return type > MSG_NONE && type < MSG_TYPES;
}

const char *message_type_name(enum message_type type)
{
	return message_type_valid(type) ? message_kinds[type].name : "unknown";
}

const char *message_fault(uint32_t type, enum channel_side from, size_t payload_bytes, size_t nfds)
{
	const struct message_kind *kind;
	size_t n;

	if (!message_type_valid(type))
		return "unknown type";
	kind = &message_kinds[type];
	if (kind->from != from)
		return "wrong direction";
	n = payload_bytes / kind->size;
	if (payload_bytes % kind->size != 0 || n > kind->elements ||
		(n == 0 && kind->elements != 0))
		return "wrong size";
	if (kind->fds == FDS_SOME)
		return nfds > CHANNEL_FDS_MAX ? "too many fds" : NULL;
	if (nfds != kind->fds * (kind->elements != 0 ? n : 1))
		return "wrong number of fds";
	return NULL;
}

const void *message_payload(const struct message *message, enum message_type type, size_t *count_r)
{
	MUST(message->type == type && message_type_valid(type));
	if (count_r != NULL)
		*count_r = message->payload_bytes / message_kinds[type].size;
	return message->payload;
}
