/* The kind of check that is content with a TLS handshake. It asks whether TLS is spoken there at all:
 * certificates are not verified, and whatever version or cipher the server still offers is taken. */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>

#include "common/connect.h"
#include "worker/checker/impl.h"

SSL_CTX *check_tls_new(void)
{
	SSL_CTX *tls = SSL_CTX_new(TLS_client_method());

	if (tls == NULL)
		return NULL;
	SSL_CTX_set_verify(tls, SSL_VERIFY_NONE, NULL);
	SSL_CTX_set_security_level(tls, 0);
	SSL_CTX_set_mode(tls, SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_OFF);
	if (SSL_CTX_set_min_proto_version(tls, 0) != 1) {
		SSL_CTX_free(tls);
		return NULL;
	}
	return tls;
}

void check_tls_free(SSL_CTX *tls)
{
	SSL_CTX_free(tls);
}

/* A FIN in the middle is an error of the protocol to OpenSSL 3, one of the socket before. */
static bool check_tls_is_eof(int error, int saved_errno)
{
	if (error == SSL_ERROR_SSL)
		return ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING;
	return error == SSL_ERROR_ZERO_RETURN || (error == SSL_ERROR_SYSCALL && saved_errno == 0);
}

static void check_tls_failed(struct check *check, int error, int saved_errno)
{
	bool eof = check_tls_is_eof(error, saved_errno);

	ERR_clear_error();
	if (eof)
		check_finish(check, CHECKED_CLOSED, 0);
	else if (error != SSL_ERROR_SYSCALL)
		check_finish(check, CHECKED_NO_TLS, 0);
	else if (connect_error_is_ours(saved_errno))
		check_give_up(check, saved_errno);
	else
		check_finish(check, CHECKED_CLOSED, (uint32_t)saved_errno);
}

static void check_tls_step(struct check *check)
{
	int done;
	int error;

	ERR_clear_error();
	errno = 0;
	done = SSL_connect(check->talk.ssl);
	if (done == 1) {
		check_finish(check, CHECKED_OK, 0);
		return;
	}
	error = SSL_get_error(check->talk.ssl, done);
	if (error == SSL_ERROR_WANT_READ)
		check_await(check, EV_READ);
	else if (error == SSL_ERROR_WANT_WRITE)
		check_await(check, EV_WRITE);
	else
		check_tls_failed(check, error, errno);
}

/* Many servers have no certificate to offer unless they hear a name. */
static bool check_tls_set_name(struct check *check)
{
	const struct address *address = check_address(check);
	char name[TLSEXT_MAXLEN_host_name + 1]; /* OpenSSL's macro does not take a const one */

	snprintf(name, sizeof(name), "%s", address->host);
	return address->kind != ADDRESS_NAME ||
		SSL_set_tlsext_host_name(check->talk.ssl, name) == 1;
}

static void check_tls_connected(struct check *check)
{
	check->talk.ssl = SSL_new(check->set->tls);
	if (check->talk.ssl == NULL || SSL_set_fd(check->talk.ssl, check->fd) != 1 ||
		!check_tls_set_name(check)) {
		ERR_clear_error();
		check_give_up(check, ENOMEM);
		return;
	}
	check_tls_step(check);
}

static void check_tls_end(struct check *check)
{
	SSL_free(check->talk.ssl); /* NULL is fine */
	check->talk.ssl = NULL;
}

const struct check_kind check_tls = {
	.connected = check_tls_connected,
	.ready = check_tls_step,
	.end = check_tls_end,
};
