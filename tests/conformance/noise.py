"""Makes a worker's language print: at its start, and all the time while the worker serves."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

NOISE = "the library has something to say"

_PYTHON = f"""
import os, sys, threading, time

def chatter():
    while True:
        os.write(1, b'{{"id": 1, "ok": true, "result": {{}}}}\\n')
        print({NOISE!r}, flush=True)
        time.sleep(0.001)

print({NOISE!r}, flush=True)
threading.Thread(target=chatter, daemon=True).start()
"""

_R = f"""
chatter <- function(e) {{
  cat('{{"id": 1, "ok": true, "result": {{}}}}\\n')
  message({NOISE!r})
  reg.finalizer(new.env(), chatter)
}}
.onLoad <- function(libname, pkgname) {{
  print({NOISE!r})
  system("echo from a child process")
  reg.finalizer(new.env(), chatter)
}}
"""

_JULIA = f"""
function chatter(_)
    Core.println("{{\\"id\\": 1, \\"ok\\": true, \\"result\\": {{}}}}")
    Core.println("{NOISE}")
    finalizer(chatter, Ref(0))
end
println("{NOISE}")
run(`echo from a child process`)
chatter(nothing)
"""


def noisy_environment(language: str, folder: Path) -> dict[str, str]:
    """Variables that make every new process of a language noisy.

    In Python a ``sitecustomize`` module with a thread that prints; in R a default package whose finalizers print
    whenever memory is collected; in Julia a program before it on the path, which loads such finalizers first.
    """
    if language == "python":
        (folder / "sitecustomize.py").write_text(_PYTHON, encoding="utf-8")
        return {"PYTHONPATH": str(folder)}
    if language == "r":
        source, library = folder / "noisy", folder / "library"
        (source / "R").mkdir(parents=True)
        library.mkdir()
        (source / "R" / "noisy.R").write_text(_R, encoding="utf-8")
        (source / "NAMESPACE").write_text("", encoding="utf-8")
        (source / "DESCRIPTION").write_text(
            "Package: noisy\nVersion: 0.1\nTitle: Noise\nDescription: Noise.\nLicense: MIT\n", encoding="utf-8"
        )
        command = [str(Path(shutil.which("Rscript") or "Rscript").with_name("R")), "CMD", "INSTALL", "--no-docs"]
        subprocess.run(
            [*command, "--no-test-load", f"--library={library}", str(source)], check=True, capture_output=True
        )
        packages = "datasets,utils,grDevices,graphics,stats,methods,noisy"
        return {"R_LIBS_USER": str(library), "R_DEFAULT_PACKAGES": packages}
    if language == "julia":
        noise, program = folder / "noise.jl", folder / "julia"
        noise.write_text(_JULIA, encoding="utf-8")
        program.write_text(f'#!/bin/sh\nexec "{shutil.which("julia")}" -L "{noise}" "$@"\n', encoding="utf-8")
        program.chmod(0o755)
        return {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
    raise ValueError(f"no noise is known for {language}")
