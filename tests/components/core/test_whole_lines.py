"""Lines of several threads on one stderr."""

import subprocess
import sys

SPEAKERS = """
import threading
from nashflow.components.core.whole_lines import say

def speak(letter):
    for number in range(500):
        say(f"{letter} {number}")

threads = [threading.Thread(target=speak, args=(letter,)) for letter in "abcdefgh"]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
"""


def test_lines_of_threads_are_whole() -> None:
    said = subprocess.run([sys.executable, "-c", SPEAKERS], check=True, capture_output=True, text=True).stderr
    assert sorted(said.splitlines()) == sorted(f"{letter} {number}" for letter in "abcdefgh" for number in range(500))
