/** A file to begin with in each language; `¦` is where the cursor stands. */

export interface Sample {
  /** LSP's language id, which is Monaco's too. */
  readonly id: string;
  readonly name: string;
  readonly file: string;
  readonly text: string;
}

export const CURSOR = "¦";

export const SAMPLES: readonly Sample[] = [
  {
    id: "python",
    name: "Python",
    file: "point.py",
    text: `class Point:
    """A place in the plane."""

    def __init__(self, x, y):
        self.¦

    def moved(self, dx, dy):
        return Point(self.x + dx, self.y + dy)


def total(values):
    result = 0
    for value in values:
        result += value
    return result
`,
  },
  {
    id: "javascript",
    name: "JavaScript",
    file: "list.js",
    text: `export function sum(values) {
  let total = 0;
  for (const value of values) {
    total ¦
  }
  return total;
}

export function average(values) {
  return sum(values) / values.length;
}
`,
  },
  {
    id: "typescript",
    name: "TypeScript",
    file: "queue.ts",
    text: `export class Queue<T> {
  private readonly items: T[] = [];

  push(item: T): void {
    this.¦
  }

  pop(): T | undefined {
    return this.items.shift();
  }

  get length(): number {
    return this.items.length;
  }
}
`,
  },
  {
    id: "go",
    name: "Go",
    file: "main.go",
    text: `package main

import "fmt"

func max(a, b int) int {
	if a > b {
		return ¦
	}
	return b
}

func main() {
	fmt.Println(max(1, 2))
}
`,
  },
  {
    id: "rust",
    name: "Rust",
    file: "main.rs",
    text: `fn sum(values: &[i64]) -> i64 {
    let mut total = 0;
    for value in values {
        total ¦
    }
    total
}

fn main() {
    println!("{}", sum(&[1, 2, 3]));
}
`,
  },
  {
    id: "java",
    name: "Java",
    file: "Counter.java",
    text: `public class Counter {
    private int count;

    public void increment() {
        count¦
    }

    public int getCount() {
        return count;
    }
}
`,
  },
  {
    id: "cpp",
    name: "C++",
    file: "main.cpp",
    text: `#include <iostream>
#include <vector>

int main() {
    std::vector<int> values = {1, 2, 3};
    for (int value : values) {
        std::cout ¦
    }
    return 0;
}
`,
  },
  {
    id: "html",
    name: "HTML",
    file: "index.html",
    text: `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8" />
    <title>¦
  </head>
  <body>
    <h1>Hello</h1>
  </body>
</html>
`,
  },
  {
    id: "shell",
    name: "Shell",
    file: "backup.sh",
    text: `#!/bin/sh
set -eu

for file in "$@"; do
  echo ¦
done
`,
  },
  {
    id: "markdown",
    name: "Markdown",
    file: "notes.md",
    text: `# Notes

- Ghost text appears behind the cursor.
- ¦
`,
  },
];
