from inkling.cli import main

main()
