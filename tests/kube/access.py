"""Who may ask the API server, and how: certificates, tokens, kubeconfigs, and requests over a kept connection."""

import base64
import contextlib
import http.client
import json
import ssl
import time

import stage

ISSUER = "https://kubernetes.default.svc"
PATCH = {"PATCH": "application/merge-patch+json"}
REQUEST_SECONDS_MAX = 15
# The API server takes a token for so long after it has expired.
LEEWAY_SECONDS = 60


def unpadded(data):
    """Bytes as a JSON web token spells them."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def encoded(path):
    """A file's content as a kubeconfig takes it."""
    return base64.b64encode(path.read_bytes()).decode()


class Refused(stage.StageError):
    """The API server did not do what it was asked for."""


class Access:
    """The authority of a cluster, and a connection to its API server as an administrator."""

    def __init__(self, folder, servers, port):
        self.folder, self.servers, self.port, self.link = folder, servers, port, None
        self.authority("ca")
        names = [f"IP:{server}" for server in servers]
        names += ["IP:10.96.0.1", "DNS:kubernetes.default.svc", "DNS:localhost", "IP:127.0.0.1"]
        self.certificate("server", "/CN=kube-apiserver", names)
        self.certificate("admin", "/O=system:masters/CN=admin")
        # RSA, as its signatures go into a token as `openssl` gives them.
        stage.openssl("genrsa", "-out", self.path("accounts.key"), 2048)
        self.tls = ssl.create_default_context(cafile=str(self.path("ca.pem")))
        self.tls.load_cert_chain(self.path("admin.pem"), self.path("admin.key"))

    def path(self, name):
        """A file of this cluster."""
        return self.folder / name

    def authority(self, name):
        """An authority: NAME.pem and NAME.key."""
        key = self.path(f"{name}.key")
        stage.openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key)
        stage.openssl("req", "-new", "-x509", "-key", key, "-days", 30, "-subj", "/CN=Vanne's lab", "-out",
                      self.path(f"{name}.pem"))

    def certificate(self, name, subject, names=()):
        """A certificate by the authority, for a server if it has names, else for a client."""
        key, wanted, more = (self.path(f"{name}.{end}") for end in ("key", "csr", "ext"))
        stage.openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key)
        stage.openssl("req", "-new", "-key", key, "-subj", subject, "-out", wanted)
        use = "serverAuth" if names else "clientAuth"
        lines = ["keyUsage=critical,digitalSignature", f"extendedKeyUsage={use}"]
        more.write_text("\n".join(lines + ([f"subjectAltName={','.join(names)}"] if names else [])) + "\n")
        stage.openssl("x509", "-req", "-in", wanted, "-CA", self.path("ca.pem"), "-CAkey", self.path("ca.key"),
                      "-CAcreateserial", "-days", 30, "-extfile", more, "-out", self.path(f"{name}.pem"))

    def kubeconfig(self, name, certificate=None, token=None, token_file=None, ca="ca", server=0):
        """Writes a kubeconfig for one of these ways to prove oneself; its path. JSON, which is YAML too."""
        user = {}
        if certificate:
            user["client-certificate-data"] = encoded(self.path(f"{certificate}.pem"))
            user["client-key-data"] = encoded(self.path(f"{certificate}.key"))
        if token:
            user["token"] = token
        if token_file:
            user["tokenFile"] = str(token_file)
        address = f"https://{self.servers[server]}:{self.port}"
        authority = {"server": address, "certificate-authority-data": encoded(self.path(f"{ca}.pem"))}
        path = self.path(name)
        path.write_text(json.dumps({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "lab", "cluster": authority}],
            "users": [{"name": "one", "user": user}],
            "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "one"}}],
            "current-context": "lab",
        }, indent=1))
        return path

    def ask(self, method, path, body=None, server=0, is_kept=True):
        """Status and body of an answer. Patches are merged; a kept connection that was closed is opened again."""
        fields = {"accept": "application/json", "content-type": PATCH.get(method, "application/json")}
        sent = None if body is None else json.dumps(body)
        if not is_kept:
            link = self.connection(server)
            with contextlib.closing(link):
                link.request(method, path, sent, fields)
                answer = link.getresponse()
                return answer.status, answer.read()
        for is_last in (self.link is None, True):
            try:
                self.link = self.link or self.connection(server)
                self.link.request(method, path, sent, fields)
                answer = self.link.getresponse()
                return answer.status, answer.read()
            except (OSError, http.client.HTTPException) as error:
                self.close()
                if is_last:
                    raise OSError(str(error)) from error
        return None

    def connection(self, server):
        """A new connection."""
        return http.client.HTTPSConnection(self.servers[server], self.port, timeout=REQUEST_SECONDS_MAX,
                                           context=self.tls)

    def close(self):
        """Forgets the kept connection."""
        if self.link is not None:
            self.link.close()
            self.link = None

    def do(self, method, path, body=None, server=0, is_kept=True):
        """The answer as an object; an error unless the API server did it."""
        status, text = self.ask(method, path, body, server, is_kept)
        if status >= 300:
            raise Refused(f"{method} {path}: {status} {text.decode(errors='replace')[:500]}")
        return json.loads(text)

    def token(self, namespace, account, seconds):
        """A token of a service account that the API server takes for so long; with less than 0, no more.

        As the API server would sign it, which gives none for less than ten minutes.
        """
        found = self.do("GET", f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}")
        now = int(time.time())
        head = {"alg": "RS256", "typ": "JWT"}
        claims = {
            "iss": ISSUER, "aud": [ISSUER], "sub": f"system:serviceaccount:{namespace}:{account}",
            "iat": now - 600, "nbf": now - 600, "exp": now + seconds - LEEWAY_SECONDS,
            "kubernetes.io": {
                "namespace": namespace, "serviceaccount": {"name": account, "uid": found["metadata"]["uid"]},
            },
        }
        text = ".".join(unpadded(json.dumps(part).encode()) for part in (head, claims))
        plain, signature = self.path("token.txt"), self.path("token.sig")
        plain.write_text(text)
        stage.openssl("dgst", "-sha256", "-sign", self.path("accounts.key"), "-out", signature, plain)
        return f"{text}.{unpadded(signature.read_bytes())}"

    def allow(self, namespace, account, space=None):
        """A service account of a namespace that may get, list and watch slices, there or in another namespace."""
        accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
        if self.ask("GET", f"{accounts}/{account}")[0] == 404:
            self.do("POST", accounts, {"metadata": {"name": account}})
        rights = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{space or namespace}"
        if self.ask("GET", f"{rights}/roles/{account}")[0] == 200:
            return
        verbs = ["get", "list", "watch"]
        self.do("POST", f"{rights}/roles", {
            "metadata": {"name": account},
            "rules": [{"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": verbs}],
        })
        self.do("POST", f"{rights}/rolebindings", {
            "metadata": {"name": account},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": account},
            "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": namespace}],
        })
