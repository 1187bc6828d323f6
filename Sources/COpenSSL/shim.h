// OpenSSL's server side, and its macros, which Swift does not see.
#include <openssl/err.h>
#include <openssl/ssl.h>

// TLS 1.2 or newer. Writes may be taken in part, and repeated from elsewhere.
static inline SSL_CTX *tls_server_context(void) {
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    if (context == NULL) return NULL;
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    // Clients that break off without a farewell are told apart by the protocol inside.
    SSL_CTX_set_options(context, SSL_OP_IGNORE_UNEXPECTED_EOF | SSL_OP_NO_RENEGOTIATION);
    return context;
}

// Clients must show a certificate that one of these authorities has signed.
static inline int tls_require_clients(SSL_CTX *context, const char *authorities) {
    STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(authorities);
    if (names == NULL || SSL_CTX_load_verify_locations(context, authorities, NULL) != 1) return 0;
    SSL_CTX_set_client_CA_list(context, names);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    return 1;
}
