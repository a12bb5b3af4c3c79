"""One request to Azurite with a signature that is not our client's: azure.py METHOD URL [NAME:VALUE ...]

Authorize with Shared Key; the body is empty. Prints the status and then the body of the answer.
"""

import base64
import email.utils
import hashlib
import hmac
import sys
import urllib.error
import urllib.parse
import urllib.request

ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="

method, url, *given = sys.argv[1:]
headers = dict(header.split(":", 1) for header in given)
headers |= {"x-ms-version": "2023-11-03", "x-ms-date": email.utils.formatdate(usegmt=True)}
parsed = urllib.parse.urlsplit(url)
canonical = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers) if name.startswith("x-ms-"))
resource = f"/{ACCOUNT}{parsed.path}"
for name, value in sorted(urllib.parse.parse_qsl(parsed.query)):
    resource += f"\n{name}:{value}"
text = f"{method}\n\n\n\n\n\n\n\n\n\n\n\n{canonical}{resource}"
mac = hmac.new(base64.b64decode(KEY), text.encode(), hashlib.sha256).digest()
headers["Authorization"] = f"SharedKey {ACCOUNT}:{base64.b64encode(mac).decode()}"
headers["Content-Length"] = "0"
request = urllib.request.Request(url, method=method, headers=headers)
try:
    answer = urllib.request.urlopen(request)
except urllib.error.HTTPError as error:
    answer = error
print(answer.status)
sys.stdout.write(answer.read().decode())
