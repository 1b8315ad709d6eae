/* Reasons as text.
 */
#include "master/proxyctl/ctl.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum ctl_exit ctl_why(struct ctl_why *why_r, enum ctl_exit code, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(why_r->text, sizeof(why_r->text), format, args);
	va_end(args);
	return code;
}

void ctl_why_add(struct ctl_why *why, const char *format, ...)
{
	const size_t len = strlen(why->text);
	va_list args;

	va_start(args, format);
	vsnprintf(why->text + len, sizeof(why->text) - len, format, args);
	va_end(args);
}
