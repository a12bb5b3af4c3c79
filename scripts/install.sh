#!/bin/sh
# Installs what `cargo build --release` made, with manual pages, completions and units. Starts and enables nothing.
#   scripts/install.sh            as root, into /usr
#   DESTDIR=/tmp/x scripts/install.sh   into a folder, to look or to package
set -eu
cd "$(dirname "$0")/.."
dest=${DESTDIR:-}
target=${CARGO_TARGET_DIR:-target}/release

for page in docs/man/*.1; do
    tool=$(basename "$page" .1)
    [ -x "$target/$tool" ] || { echo "install: no $target/$tool; run: cargo build --release" >&2; exit 1; }
    install -D -m 755 "$target/$tool" "$dest/usr/bin/$tool"
    install -D -m 644 "$page" "$dest/usr/share/man/man1/$tool.1"
    install -D -m 644 "docs/completions/$tool.bash" "$dest/usr/share/bash-completion/completions/$tool"
    install -D -m 644 "docs/completions/_$tool" "$dest/usr/share/zsh/vendor-completions/_$tool"
    install -D -m 644 "docs/completions/$tool.fish" "$dest/usr/share/fish/vendor_completions.d/$tool.fish"
done
for unit in systemd/*.service systemd/*.timer; do
    install -D -m 644 "$unit" "$dest/usr/lib/systemd/system/$(basename "$unit")"
done
install -D -m 755 scripts/notify-failure "$dest/usr/lib/toban/notify-failure"
for example in systemd/examples/*; do
    install -D -m 644 "$example" "$dest/usr/share/doc/toban/examples/$(basename "$example")"
done
# sd_booted(3): systemctl may be installed where no systemd runs.
[ -n "$dest" ] || [ ! -d /run/systemd/system ] || systemctl daemon-reload || true
echo "installed; next: docs/guide/first-hour.md"
