/* The dashboard: one page that needs nothing from anywhere, built into the binary. Its policy names its script and its style
 * by their hashes, so that nothing else runs in it, whatever is shown.
 */
#include <event2/buffer.h>
#include <event2/http.h>
#include <openssl/evp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/admin/impl.h"
#include "worker/admin/page.h"

/* A file as it is, and its length. */
#define PAGE_FILE(name, path)                                                                      \
	__asm__(".pushsection .rodata\n" #name ": .incbin \"" path "\"\n" #name                    \
		"_end: .balign 8\n" #name "_len: .quad " #name "_end - " #name "\n.popsection\n"); \
	extern const char name[] __attribute__((visibility("hidden")));                            \
	extern const uint64_t name##_len __attribute__((visibility("hidden")))

PAGE_FILE(page_html, "worker/admin/dashboard.html");
PAGE_FILE(page_css, "worker/admin/dashboard.css");
PAGE_FILE(page_js, "worker/admin/dashboard.js");

#define PAGE_HASH_BYTES  32
#define PAGE_POLICY_MAX  512
#define PAGE_STYLE_MARK  "{{style}}"
#define PAGE_SCRIPT_MARK "{{script}}"

struct page_part {
	const char *text;
	size_t len;
};

struct dashboard {
	size_t len;
	char *text; /* owned */
	char policy[PAGE_POLICY_MAX];
};

/* "sha256-..." as a policy has it. */
static void page_hash(const struct page_part *part, char base64_r[64])
{
	unsigned char hash[PAGE_HASH_BYTES];

	if (EVP_Digest(part->text, part->len, hash, NULL, EVP_sha256(), NULL) != 1)
		admin_no_memory("a hash");
	EVP_EncodeBlock((unsigned char *)base64_r, hash, sizeof(hash));
}

static char *page_put(char *to, const char *text, size_t len)
{
	memcpy(to, text, len);
	return to + len;
}

/* The page with both parts in their places. */
static void page_make(
	struct dashboard *page, const struct page_part *style, const struct page_part *script)
{
	const size_t html_len = page_html_len;
	const char *style_at =
		memmem(page_html, html_len, PAGE_STYLE_MARK, strlen(PAGE_STYLE_MARK));
	const char *script_at =
		memmem(page_html, html_len, PAGE_SCRIPT_MARK, strlen(PAGE_SCRIPT_MARK));
	char *to;

	MUST(style_at != NULL && script_at != NULL && style_at < script_at);
	page->text = to = malloc(html_len + style->len + script->len);
	if (to == NULL)
		admin_no_memory("the page");
	to = page_put(to, page_html, (size_t)(style_at - page_html));
	to = page_put(to, style->text, style->len);
	style_at += strlen(PAGE_STYLE_MARK);
	to = page_put(to, style_at, (size_t)(script_at - style_at));
	to = page_put(to, script->text, script->len);
	script_at += strlen(PAGE_SCRIPT_MARK);
	to = page_put(to, script_at, html_len - (size_t)(script_at - page_html));
	page->len = (size_t)(to - page->text);
}

struct dashboard *page_new(void)
{
	const struct page_part style = { page_css, page_css_len };
	const struct page_part script = { page_js, page_js_len };
	struct dashboard *page = calloc(1, sizeof(*page));
	char style_hash[64];
	char script_hash[64];

	if (page == NULL)
		admin_no_memory("the page");
	page_hash(&style, style_hash);
	page_hash(&script, script_hash);
	page_make(page, &style, &script);
	snprintf(page->policy, sizeof(page->policy),
		"default-src 'none'; script-src 'sha256-%s'; style-src 'sha256-%s'; connect-src 'self'; "
		"img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
		script_hash, style_hash);
	return page;
}

void page_free(struct dashboard *page)
{
	free(page->text);
	free(page);
}

void page_show(struct admin *admin, struct evhttp_request *request)
{
	const struct dashboard *page = admin->page;
	struct evbuffer *body = evbuffer_new();

	if (body == NULL || evbuffer_add_reference(body, page->text, page->len, NULL, NULL) < 0) {
		http_reply_no_memory(request);
	} else {
		evhttp_add_header(evhttp_request_get_output_headers(request),
			"Content-Security-Policy", page->policy);
		http_reply(request, 200, "text/html; charset=utf-8", body);
	}
	if (body != NULL)
		evbuffer_free(body);
}
