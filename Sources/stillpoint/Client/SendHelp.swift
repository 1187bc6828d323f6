/// What `send --help` explains; lines of at most 80 columns, so that a terminal does not break
/// them.
enum SendHelp {
    static let discussion = """
        The command goes to whichever worker runs the session. Its outcome is printed:
        completed, refused with every reason and what clears it, or failed.

        EXAMPLES
          stillpoint send CreateVolumes box1 -p volumes=0100=10GiBx4,0200=10GiB
          stillpoint send CreateSession payroll -p type=SafeguardedCopy \\
              -p options.retentionMinutes=1440
          stillpoint send AddCopySets payroll -p copySets=box1:0100=box1:0200
          stillpoint send Backup payroll --id payroll-2026-11-21T02:00Z
          stillpoint send Recover payroll -p backupId=1795226400 \\
              -p backgroundCopy=true --wait
          stillpoint send ExpireBackup payroll -p backupId=1795226400 --dry-run
          stillpoint send CreateSession nightly -p type=FlashCopy \\
              -p options.incremental=true
          stillpoint send AddCopySets nightly -p copySets=box1:0100=T1=box1:0300
          stillpoint send Flash nightly --wait
          stillpoint send --file backup.json --output json

        PARAMETERS
          A value is JSON where it can be read as JSON, else text. Dots make members
          of members: options.retentionMinutes=60 is
          {"options": {"retentionMinutes": 60}}. Lists have a short form, with ranges
          of volumes; x4 is safeguarded capacity, as a multiple of the volume's size:

          AddCopySets             copySets=box1:0100=box1:0200,box1:0101=box1:0201
                                  copySets=box1:0100-010f=box1:0200-020f
                                  copySets='[{"H1":"box1:0100","R1":"box1:0200"}]'
                                  copySets=box1:0100=T1=box1:0300  (FlashCopy)
          RemoveCopySets          copySets=box1:0100,box1:0101
          CreateVolumes           volumes=0100-010f=10GiBx4
          ExpandVolumes           volumes=0100=20GiB
          SetSafeguardedCapacity  volumes=0100=x16
          DeleteVolumes           volumes=0100,0101
          EstablishRelationships  relationships=0100=0300,0101-010f=0301-030f
          WithdrawRelationships   relationships=0100=0300
          DescribeSession         parts=summary,backups

        COMMANDS
          Sessions          CreateSession, ModifySession, DeleteSession, AddCopySets,
                            RemoveCopySets, DescribeSession, RefreshStates, Terminate
          Safeguarded Copy  Backup, Recover, InitiateBackgroundCopy, ExpireBackup,
                            TerminateH1R1
          FlashCopy         Flash, InitiateBackgroundCopy, Discover, ReverseRestore,
                            QueryRelationships, Commit, Revert
          Storage systems   CreateVolumes, DeleteVolumes, ExpandVolumes,
                            SetSafeguardedCapacity, DescribeStorage,
                            EstablishRelationships, WithdrawRelationships,
                            ListRelationships

        FILES
          --file names a JSON object with the whole command, or with some members
          only, e.g. {"parameters": {…}}; the rest comes from the command line. What
          both give must be the same.

        ONCE
          Give an --id where it matters that a command is not executed twice. When no
          outcome has come, send it again with the same one: what was executed is not
          executed again, and its outcome is answered.

        EXIT STATUS
          0 completed, 2 usage, 3 refused, 4 failed (also a background copy that ends
          incomplete), 5 timed out, 69 broker unreachable.
        """
}
