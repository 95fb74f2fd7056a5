"""Runs every check_* function of the modules named on the command line; the last line of its output is JSON."""

import importlib
import json
import sys
import traceback


def main(names):
    results = {}
    for name in names:
        module = importlib.import_module(name)
        for key, function in list(vars(module).items()):
            if key.startswith("check_"):
                try:
                    function()
                    results[f"{name}:{key}"] = ""
                except BaseException:
                    results[f"{name}:{key}"] = traceback.format_exc()
    print("RESULTS " + json.dumps(results), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
