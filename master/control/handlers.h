/* The handlers of all commands, in control_verbs.c and control_reload.c. Nobody else includes it.
 */
#ifndef PROXYD_MASTER_CONTROL_HANDLERS_H
#define PROXYD_MASTER_CONTROL_HANDLERS_H

#include "common/must.h"
#include "master/control/verbs.h"
#include "master/views/views.h"

#define CONTROL_VERB(handler, words, arguments, role, help) control_handler_fn verb_##handler;
#include "master/control/verbs.def"
#undef CONTROL_VERB

/* Answer with a view. Returns -1 without memory. */
MUST_USE int control_show(struct control_request *request, const struct view *view);

#endif
