Feature: Disks
  Scenario Outline: Nearly full
    Given the disk is "<path>"
    When its usage is greater than <limit>
    And its owner is not "nobody"
    Then it should write "warnings.txt" with "<path> is full"

    Examples:
      | path | limit |
      | /srv | 80    |
      | /var | 90    |

  Scenario: Quiet
    Given the name is "Ann"
    Then nothing
